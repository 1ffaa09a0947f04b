"""Disjoint boxes in the space of weights, and their mass under independent Gaussians."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

LEAST_LOG_MASS = -28.0
"""Boxes of less mass, about 1e-12, are dropped: they decide nothing."""


@dataclass(frozen=True)
class WeightBox:
    """All weights between two ends, in stds from the mean.

    Attributes:
        lower: shape (weights,).
        upper: likewise.
        log_mass: log of the probability of the box, nats.
    """

    lower: Tensor
    upper: Tensor
    log_mass: float

    @classmethod
    def between(cls, lower: Tensor, upper: Tensor) -> WeightBox:
        """Return the box with its mass, prod_i (Phi(upper_i) - Phi(lower_i))."""
        return cls(lower, upper, float(log_shares(lower, upper).sum()))

    def overlaps(self, lower: Tensor, upper: Tensor) -> bool:
        """Tell whether the insides of this box and of another one meet."""
        return bool(((self.lower < upper) & (lower < self.upper)).all())


def log_shares(lower: Tensor, upper: Tensor) -> Tensor:
    """Return log(Phi(upper) - Phi(lower)) elementwise, -inf where upper <= lower.

    Intervals right of zero are mirrored, so that small tails keep their digits.
    """
    mirrored = lower > 0
    low, high = torch.where(mirrored, -upper, lower), torch.where(mirrored, -lower, upper)
    log_high = torch.special.log_ndtr(high)
    share = log_high + torch.log1p(-(torch.special.log_ndtr(low) - log_high).exp())
    return torch.where(low < high, share, -torch.inf)


def disjoint_boxes(centers: Iterable[Tensor], half_width: float) -> list[WeightBox]:
    """Return boxes around centers, cut where they overlap, those of next to no mass left out.

    A box that meets an earlier one gives up what lies on one side of a face of it, of all faces the
    one that leaves most mass; shared faces have no mass. So the mass of a union is the sum.

    Args:
        centers: in stds from the mean, shape (weights,) each.
        half_width: of every box before it is cut, stds.
    """
    kept: list[WeightBox] = []
    for center in centers:
        ends: tuple[Tensor, Tensor] | None = (center - half_width, center + half_width)
        for other in kept:
            if ends is not None and other.overlaps(*ends):
                ends = _cut(*ends, other)
        if ends is not None:
            box = WeightBox.between(*ends)
            if box.log_mass >= LEAST_LOG_MASS:
                kept.append(box)
    return kept


def _cut(lower: Tensor, upper: Tensor, other: WeightBox) -> tuple[Tensor, Tensor] | None:
    """Return the largest part of a box beyond one face of another; None where there is none."""
    whole = log_shares(lower, upper)
    above = log_shares(torch.maximum(lower, other.upper), upper) - whole
    below = log_shares(lower, torch.minimum(upper, other.lower)) - whole
    best, place = torch.maximum(above, below).max(0)
    if best == -torch.inf:
        return None
    lower, upper = lower.clone(), upper.clone()
    if above[place] >= below[place]:
        lower[place] = other.upper[place]
    else:
        upper[place] = other.lower[place]
    return lower, upper
