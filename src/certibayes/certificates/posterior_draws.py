"""Draws of theta at the clean observations; no ball changes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from certibayes.estimators.base import Estimator
from certibayes.seeding import generator

ROWS_PER_BLOCK = 2_000
"""Most pairs of observation and draw that are bounded at once; with 50 hidden units a coefficient
for each unit and pair just fits a processor's cache."""
NUMBERS_PER_BLOCK = 2**21
"""Most numbers of a tensor of such pairs, estimated from the dimensions of x and theta."""
NUMBERS_PER_PARAMETER = 64
"""What a flow keeps for every parameter of a theta, roughly."""
NUMBERS_OF_MOMENTS = 2**22
"""Most numbers of a matrix of second moments of planes, (x_dim + 1)^2 per observation."""


@dataclass(frozen=True)
class PosteriorDraws:
    """theta ~ q(. | x) with its log density, float64; serves every radius.

    Attributes:
        model: q(theta | x).
        x: observations, shape (batch, x_dim).
        theta: draws, shape (n, batch, theta_dim).
        log_prob: log q(theta | x), shape (n, batch).
        pilot: further draws that decide how a bound is taken and never report one, or None.
        first_row: place of the first observation in the batch that was drawn at.
    """

    model: Estimator
    x: Tensor
    theta: Tensor
    log_prob: Tensor
    pilot: PosteriorDraws | None = None
    first_row: int = 0

    def first(self, n: int) -> PosteriorDraws:
        """Return the first n draws per observation."""
        return replace(self, theta=self.theta[:n], log_prob=self.log_prob[:n])

    def groups(self) -> Iterator[tuple[slice, PosteriorDraws]]:
        """Yield slices of observations with their draws, pilot draws included.

        As many observations as have all their draws in one block and second moments of bounded
        memory, at least one: what no theta changes is bounded for them once, however many draws
        there are.
        """
        most = max(len(self.theta), 0 if self.pilot is None else len(self.pilot.theta))
        moments = NUMBERS_OF_MOMENTS // (self.x.shape[1] + 1) ** 2
        size = max(1, min(self._rows // most, moments))
        for start in range(0, len(self.x), size):
            some = slice(start, min(start + size, len(self.x)))
            yield some, self._at(some)

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield slices of draws and their thetas, of bounded memory (or one draw) at a time."""
        size = max(1, self._rows // len(self.x))
        for start in range(0, len(self.theta), size):
            rows = slice(start, min(start + size, len(self.theta)))
            yield rows, self.theta[rows]

    @property
    def _rows(self) -> int:
        """Pairs of observation and draw that are bounded at once."""
        numbers = max(self.x.shape[1], NUMBERS_PER_PARAMETER * self.theta.shape[-1])
        return max(1, min(ROWS_PER_BLOCK, NUMBERS_PER_BLOCK // numbers))

    def _at(self, some: slice) -> PosteriorDraws:
        """Return the draws at some observations."""
        return PosteriorDraws(
            self.model,
            self.x[some],
            self.theta[:, some],
            self.log_prob[:, some],
            None if self.pilot is None else self.pilot._at(some),
            self.first_row + some.start,
        )


def draw_posterior(model: Estimator, x: Tensor, n: int, seed: int) -> PosteriorDraws:
    """Draw n thetas per observation, each observation from a stream of its own.

    The stream depends on the seed and on the row of the observation alone: neither the batch size
    nor any chunking changes a draw.

    Args:
        model: q(theta | x), float64.
        x: observations, shape (batch, x_dim), float64.
        n: draws per observation.
        seed: seed of all streams; it must differ from those that chose the observations or attacks.

    Raises:
        ValueError: if a draw has no finite density, so that no ratio of densities exists.
    """
    thetas, log_probs = [], []
    with torch.no_grad():
        for row, observation in enumerate(x.split(1)):
            posterior = model(observation)
            theta = posterior.draw(n, generator("posterior_draws", seed, row))
            thetas.append(theta)
            log_probs.append(posterior.log_prob(theta))
    log_prob = torch.cat(log_probs, 1)
    broken = ~log_prob.isfinite()
    if broken.any():
        draw, row = (int(i) for i in broken.nonzero()[0])
        raise ValueError(
            f"log q(theta | x): got {float(log_prob[draw, row])} at draw {draw} of observation "
            f"{row}, {int(broken.sum())} in all; allowed: finite log densities of own draws"
        )
    return PosteriorDraws(model, x, torch.cat(thetas, 1), log_prob)
