"""Parabolas above the integrand of the total variation."""

from __future__ import annotations

import torch
from torch import Tensor

OFFSETS = tuple(2.0**power for power in range(-40, 5))
"""Offsets s tried for every observation; neighbours differ by a factor of two."""
BISECTIONS = 80


def curvature(offset: Tensor) -> Tensor:
    """Return the smallest A with (1 - exp(-y))+ <= A (y + s)^2 for every y, s = offset > 0.

    The quotient (1 - exp(-y)) / (y + s)^2 has one maximum, at exp(-y) (y + s + 2) = 2; it is
    bracketed, and the larger numerator over the smaller denominator of the bracket is taken.
    """
    low, high = torch.zeros_like(offset), torch.full_like(offset, 64.0)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        rising = (-middle).exp() * (middle + offset + 2) > 2
        low, high = torch.where(rising, middle, low), torch.where(rising, high, middle)
    return -torch.expm1(-high) / (low + offset).square()


def mean_upper_bound(first: Tensor, second: Tensor) -> Tensor:
    """Bound the mean of (1 - exp(-y_k))+ given bounds of the means of y_k and of y_k^2.

    Every parabola A (y + s)^2 above the integrand gives A (s^2 + 2 s first + second); the best of
    a fixed set of s is returned, at most 1. With s = sqrt(second) and A <= 1 / (4 s) that is
    (first + sqrt(second)) / 2 at most.

    Args:
        first: bound of the mean of y, shape (batch,); may be infinite.
        second: bound of the mean of y^2, >= 0, shape (batch,).

    Returns:
        Shape (batch,), between 0 and 1; 0 where second is 0.
    """
    offset = torch.tensor(OFFSETS, dtype=second.dtype).unsqueeze(-1)
    bounds = curvature(offset) * (offset.square() + 2 * offset * first + second)
    best = bounds.amin(0).nan_to_num(nan=1.0).clamp(0.0, 1.0)
    return torch.where(second == 0, torch.zeros_like(best), best)
