"""Locations and scales of training pairs, read a block at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from certibayes.rows import Pairs, blocks

STD_FLOOR = 1e-6
BLOCK_VALUES = 2**20
"""Numbers of x in a block of pairs."""
COLUMN_BYTES = 2**27
"""Columns of x are sorted together up to this size; every such group is one pass over the pairs."""


@dataclass(frozen=True)
class Moments:
    """Mean and std (divisor n) of every column, shape (width,), float64."""

    mean: Tensor
    std: Tensor


def moments(pairs: Pairs, unconstrained: Callable[[Tensor], Tensor]) -> tuple[Moments, Moments]:
    """Return the moments of unconstrained theta and of x, in one pass.

    Sums of squares about the mean of the blocks are merged as in Chan, Golub and LeVeque (1983):
    M2 = M2_a + M2_b + (mean_b - mean_a)^2 n_a n_b / (n_a + n_b).

    Args:
        pairs: theta, shape (n, theta_dim), and x, shape (n, x_dim).
        unconstrained: maps theta, shape (batch, theta_dim), to the real numbers.

    Raises:
        ValueError: if a value is not finite or a theta lies on the border of the support.
    """
    theta_sums, x_sums = _Sums("theta, unconstrained"), _Sums("x")
    for theta, x in blocks(pairs, _block_rows(pairs)):
        theta_sums.add(unconstrained(theta.double()))
        x_sums.add(x.double())
    return theta_sums.moments(), x_sums.moments()


def quartiles(pairs: Pairs) -> tuple[Tensor, Tensor, Tensor]:
    """Return lower quartile, median and upper quartile of every column of x, shape (x_dim,).

    They are order statistics of all pairs, not estimates.
    """
    rows = len(pairs)
    width, values = _first_x(pairs).shape[1], _first_x(pairs).numpy().dtype
    quarter = (rows - 1) // 4
    places = [quarter, rows // 2, rows - 1 - quarter]
    together = max(COLUMN_BYTES // (rows * values.itemsize), 1)
    found = np.empty((3, width))
    for low in range(0, width, together):
        columns = np.empty((min(together, width - low), rows), values)
        start = 0
        for _, x in blocks(pairs, _block_rows(pairs)):
            columns[:, start : start + len(x)] = x[:, low : low + together].T.numpy()
            start += len(x)
        for place, column in enumerate(columns, start=low):
            column.partition(places)
            found[:, place] = column[places]
    lower, median, upper = torch.from_numpy(found)
    return lower, median, upper


def floored(scale: Tensor, std: Tensor) -> Tensor:
    """Return the scale, and 1 where the std is below 1e-6 of the largest."""
    return torch.where(std > STD_FLOOR * std.max(), scale, torch.ones_like(scale))


class _Sums:
    """Count, mean and sum of squares about the mean of the rows added so far."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows = 0
        self.mean = torch.zeros((), dtype=torch.float64)
        self.squares = torch.zeros((), dtype=torch.float64)

    def add(self, values: Tensor) -> None:
        finite = values.isfinite().all(1)
        if not bool(finite.all()):
            row = self.rows + int((~finite).nonzero()[0])
            raise ValueError(f"{self.name}: row {row} is not finite; allowed: finite pairs")
        mean = values.mean(0)
        total = self.rows + len(values)
        step = mean - self.mean
        self.squares = (
            self.squares
            + (values - mean).square().sum(0)
            + step.square() * (self.rows * len(values) / total)
        )
        self.mean = self.mean + step * (len(values) / total)
        self.rows = total

    def moments(self) -> Moments:
        return Moments(self.mean, (self.squares / self.rows).sqrt())


def _first_x(pairs: Pairs) -> Tensor:
    return pairs.batch(torch.arange(1))[1]


def _block_rows(pairs: Pairs) -> int:
    return max(BLOCK_VALUES // _first_x(pairs).shape[1], 1)
