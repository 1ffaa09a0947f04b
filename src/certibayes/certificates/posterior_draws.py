"""Draws of theta at the clean observations; no ball changes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from certibayes.estimators.base import Estimator
from certibayes.seeding import generator

ROWS_PER_BLOCK = 1_000


@dataclass(frozen=True)
class PosteriorDraws:
    """theta ~ q(. | x) with its log density, float64; serves every radius.

    Attributes:
        model: q(theta | x).
        x: observations, shape (batch, x_dim).
        theta: draws, shape (n, batch, theta_dim).
        log_prob: log q(theta | x), shape (n, batch).
        pilot: further draws that decide how a bound is taken and never report one, or None.
    """

    model: Estimator
    x: Tensor
    theta: Tensor
    log_prob: Tensor
    pilot: PosteriorDraws | None = None

    def first(self, n: int) -> PosteriorDraws:
        """Return the first n draws per observation."""
        return replace(self, theta=self.theta[:n], log_prob=self.log_prob[:n])

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield slices of draws and their thetas, at most 1,000 rows (or one draw) at a time."""
        size = max(1, ROWS_PER_BLOCK // len(self.x))
        for start in range(0, len(self.theta), size):
            rows = slice(start, start + size)
            yield rows, self.theta[rows]


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
