"""Iterated random search with contraction: no gradient is used."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.attacks.candidate_search import CandidateSearch, Setting
from certibayes.attacks.candidates import Best
from certibayes.config import attacks as specs
from certibayes.seeding import generator
from certibayes.threat import Ball

INSIDE_EVERY = 5
"""In linf balls one proposal out of so many is drawn inside, the others go to corners."""


class RandomSearch(CandidateSearch):
    """Proposals around the best point c so far, drawn ever closer to it.

    Inside: project(c + s * (z - x)), z uniform in the ball. Corner, in linf balls alone: every
    feature of c goes with probability s, one of them for certain, to x + radius or x - radius at
    random; where features are many a uniform z stays far from the corners, and the worst case is
    near one. Each item has a spread s of either kind: 1 at first, divided by `contraction` after a
    step in which no proposal of the kind was better. Candidates are x, the noise points and the
    proposals, all judged on the selection draws. Step t depends on (seed, t) and what was found
    before, so more steps are never worse. It finds what an attack misses whose gradients are
    masked.
    """

    def __init__(self, spec: specs.RandomSearch) -> None:
        super().__init__(spec)
        self.spec = spec

    def explore(self, setting: Setting, best: Best, points: Tensor) -> int:
        """Search around the best point of each item; see `CandidateSearch.explore`."""
        spec, x, ball = self.spec, setting.x, setting.ball
        moves: list[_Move] = [_Inside(x, ball)]
        if ball.norm == "linf":
            moves.append(_Corner(x, ball))
        for step in range(spec.steps):
            center = best.x
            for proposal in range(spec.proposals):
                number = step * spec.proposals + proposal
                move = moves[0] if number % INSIDE_EVERY == 0 else moves[-1]
                before = best.value
                draws = generator(setting.seed, "proposal", step, proposal)
                best.offer(ball.project(x, move.around(center, draws)))
                move.record(best.value > before)
            for move in moves:
                move.contract(spec.contraction)
        return 0


class _Move:
    """One kind of proposal, and how far each item's reach.

    Attributes:
        x: observations, shape (batch, x_dim).
        ball: around them.
        spread: shape (batch, 1), in (0, 1].
    """

    def __init__(self, x: Tensor, ball: Ball) -> None:
        self.x = x
        self.ball = ball
        self.spread = x.new_ones(len(x), 1)
        self._better: Tensor | None = None

    def around(self, center: Tensor, draws: torch.Generator) -> Tensor:
        """Propose one point per item, shape (batch, x_dim)."""
        raise NotImplementedError

    def record(self, better: Tensor) -> None:
        """Note whether a proposal was better, shape (batch,)."""
        self._better = better if self._better is None else self._better | better

    def contract(self, factor: float) -> None:
        """Divide the spread where this step's proposals, if any, were all no better."""
        if self._better is not None:
            better = self._better.unsqueeze(-1)
            self.spread = torch.where(better, self.spread, self.spread / factor)
        self._better = None


class _Inside(_Move):
    """A step of uniform direction and length."""

    def around(self, center: Tensor, draws: torch.Generator) -> Tensor:
        """Propose one point per item, shape (batch, x_dim)."""
        free = Ball(self.ball.norm, self.ball.radius)
        return center + self.spread * (free.sample(self.x, draws) - self.x)


class _Corner(_Move):
    """Some features at the end of their range."""

    def around(self, center: Tensor, draws: torch.Generator) -> Tensor:
        """Propose one point per item, shape (batch, x_dim)."""
        x, radius = self.x, self.ball.radius.to(self.x)
        up, chosen = (torch.rand(x.shape, generator=draws).to(x) for _ in range(2))
        chosen = torch.where(radius > 0, chosen, 2.0)
        moved = (chosen < self.spread) | (chosen == chosen.amin(-1, keepdim=True))
        return torch.where(moved, x + torch.where(up < 0.5, -radius, radius), center)
