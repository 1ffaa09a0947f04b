"""Split R-hat of chains whose draws are not kept (Gelman et al., 2013)."""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST = 1e6
"""What stands for an R-hat that is larger, infinite or undefined."""


class SplitRHat:
    """Moments of both halves of every chain; R-hat compares the 2 * chains of them.

    With n draws per half, W the mean of the halves' variances and B / n the variance of their
    means: R-hat = sqrt(((n - 1) / n * W + B / n) / W).
    """

    def __init__(self, mean: Tensor, squares: Tensor) -> None:
        """Work on state that lives elsewhere.

        Args:
            mean: shape (2, chains, *quantity); changed in place.
            squares: sums of squared deviations, same shape.
        """
        self._mean = mean
        self._squares = squares

    def add(self, half: int, count: int, values: Tensor) -> None:
        """Take one draw of every chain.

        Args:
            half: 0 or 1.
            count: draws that this half had before.
            values: shape (chains, *quantity).
        """
        before = values - self._mean[half]
        self._mean[half] += before / (count + 1)
        self._squares[half] += before * (values - self._mean[half])

    def value(self, count: int) -> Tensor:
        """Return R-hat of every quantity, finite, shape (*quantity), at most `LARGEST`.

        `LARGEST` is that of halves in which nothing varies: they say nothing about the others.

        Args:
            count: draws per half, at least two.
        """
        within = (self._squares / (count - 1)).flatten(0, 1).mean(0)
        between = self._mean.flatten(0, 1).var(0)
        pooled = (count - 1) / count * within + between
        return torch.where(pooled < LARGEST**2 * within, pooled / within, LARGEST**2).sqrt()
