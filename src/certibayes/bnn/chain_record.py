"""What is kept of the draws of several chains."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from certibayes.bnn.network_inference import fixed
from certibayes.bnn.split_r_hat import SplitRHat
from certibayes.bnn.trajectory import Move

TRAJECTORIES, ACCEPTANCE, DIVERGENCES, STORED, FIRST, SECOND = range(6)


class ChainRecord(nn.Module):
    """Evenly spaced draws, and moments of both halves of every chain, without keeping the rest."""

    def __init__(self, like: Sequence[Tensor], chains: int, kept: int) -> None:
        """Keep nothing yet.

        Args:
            like: tensors of the parameters' shapes.
            chains: number of chains.
            kept: draws stored per chain.
        """
        super().__init__()
        self.draws = fixed([w.new_zeros((kept, chains, *w.shape)) for w in like])
        moments = [w.new_zeros((2, chains, *w.shape)) for w in like]
        moments.append(torch.zeros(2, chains, dtype=torch.float64))
        self.means = fixed(moments)
        self.squares = fixed([m.clone() for m in moments])
        self.register_buffer("tally", torch.zeros(6, dtype=torch.float64))

    @torch.no_grad()
    def clear(self) -> None:
        """Forget everything."""
        for state in (*self.draws, *self.means, *self.squares, self._tally):
            state.zero_()

    def count(self, moves: Sequence[Move], afresh: bool) -> None:
        """Count one trajectory of every chain; `afresh` forgets those before."""
        if afresh:
            self._tally[: DIVERGENCES + 1] = 0.0
        self._tally[TRAJECTORIES] += 1
        self._tally[ACCEPTANCE] += sum(move.acceptance for move in moves) / len(moves)
        self._tally[DIVERGENCES] += sum(move.diverged for move in moves)

    @torch.no_grad()
    def keep(self, moves: Sequence[Move], number: int, total: int) -> None:
        """Take one draw of every chain.

        Args:
            moves: of every chain.
            number: of the draw, from 0.
            total: draws to come altogether; the middle one of an odd number is in no half.
        """
        values = [torch.stack(w) for w in zip(*(move.weights for move in moves), strict=True)]
        stored = len(self.draws[0])
        if (number + 1) * stored // total > number * stored // total:
            for draws, value in zip(self.draws, values, strict=True):
                draws[int(self._tally[STORED])] = value
            self._tally[STORED] += 1
        half = total // 2
        if half <= number < total - half:
            return
        place = FIRST if number < half else SECOND
        values.append(self.means[-1].new_tensor([move.potential for move in moves]))
        for mean, squares, value in zip(self.means, self.squares, values, strict=True):
            SplitRHat(mean, squares).add(place - FIRST, int(self._tally[place]), value)
        self._tally[place] += 1

    @property
    def complete(self) -> bool:
        """Whether as many draws are stored as there is room for."""
        return int(self._tally[STORED]) == len(self.draws[0])

    def stored(self) -> list[Tensor]:
        """Return the stored draws of every parameter, shape (draws, *parameter shape)."""
        return [draws.flatten(0, 1) for draws in self.draws]

    def diagnostics(self) -> dict[str, float]:
        """Return mean acceptance and divergences; split R-hat once both halves are complete.

        `r_hat_max` and `r_hat_median` are over weights, `r_hat_potential` is that of U; where no
        chain ever moved they are `split_r_hat.LARGEST`.
        """
        tally = self._tally.tolist()
        found = {
            "acceptance": tally[ACCEPTANCE] / max(tally[TRAJECTORIES], 1.0),
            "divergences": tally[DIVERGENCES],
        }
        if tally[SECOND] >= 2 and tally[FIRST] == tally[SECOND]:
            states = zip(self.means, self.squares, strict=True)
            values = [SplitRHat(*state).value(int(tally[SECOND])) for state in states]
            weights = torch.cat([value.flatten() for value in values[:-1]])
            found["r_hat_max"] = float(weights.max())
            found["r_hat_median"] = float(weights.median())
            found["r_hat_potential"] = float(values[-1])
        return found

    @property
    def _tally(self) -> Tensor:
        return self.get_buffer("tally")
