"""The mean total variation term of drawn thetas at any x', from planes and worst cases per draw."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.bounds.ellipsoid import Region
from certibayes.certificates.linear_moments import LinearMoments
from certibayes.certificates.majorant import mean_upper_bound
from certibayes.certificates.planes import Planes
from certibayes.metrics.total_variation import total_variation_terms

FAR = 6.0
"""Planes that fall this many times as deep as their median count as far."""


@dataclass(frozen=True)
class MeanBounds:
    """Bounds of three means over draws at every x' of a ball, shape (batch,); algebra, no chance.

    With r = log q(theta | x') - log q(theta | x) at the draws:

    Attributes:
        variation: of the mean of f = (1 - exp(r))+.
        square: of the mean of f^2.
        divergence: of the mean of -r, nats.
    """

    variation: Tensor
    square: Tensor
    divergence: Tensor


def far_cut(planes: Iterable[Planes]) -> Tensor:
    """Return how deep a plane may fall to count as near, nats, shape (batch,); see `FAR`."""
    deepest = -torch.cat([one.deepest for one in planes])
    return FAR * deepest.nan_to_num(nan=torch.inf).median(0).values


class DirectBound:
    """Bounds means of f and f^2, f_k = (1 - q(theta_k | x') / q(theta_k | x))+, one x' for all k.

    With w_k >= f_k the worst case of draw k by itself, n draws and any set S of them,
    mean f <= sum over S of w_k / n + the parabola bound of n planes, those of S replaced by 0: a
    draw of S counts at most 1 / n, and half the largest value of its plane over n where that is
    positive: so far it may have held up the mean of the others. S may depend on the draws, not on
    x', because each such inequality holds for them with certainty. Three sets are tried: draws
    whose plane is far (falls deeper than the cut) or not finite, those whose plane is not finite,
    and all draws.
    """

    def __init__(self, region: Region, center: Tensor, cut: Tensor) -> None:
        """Start without draws.

        Args:
            region: of the standardized x', shape (batch, x_dim).
            center: the standardized x, same shape.
            cut: see `far_cut`.
        """
        self._cut = cut
        self._near, self._far = LinearMoments(region, center), LinearMoments(region, center)
        self._any_far = False
        self._alone = center.new_zeros(3, 3, len(center))

    def add(self, planes: Planes) -> None:
        """Add the planes of further draws."""
        slope, offset = planes.slope, planes.offset
        finite = slope.isfinite().all(-1) & offset.isfinite()
        near = finite & (-planes.deepest <= self._cut)
        far = finite & ~near
        self._near.add(slope, offset, near)
        self._far.add(slope, offset, far)
        self._any_far |= bool(far.any())
        terms = total_variation_terms(torch.zeros_like(planes.least), planes.least)
        values = torch.stack((terms, terms.square(), -planes.least))
        for position, alone in enumerate((~near, ~finite, torch.ones_like(near))):
            self._alone[position] += torch.where(alone, values, 0.0).sum(1)

    def bounds(self) -> MeanBounds:
        """Return the least bound of every mean; zero at radius 0, but for rounding."""
        near, everything = self._split(self._near, 0), self._alone[2] / self._near.count
        found = [near, MeanBounds(*everything)]
        if self._any_far:
            found.append(self._split(self._near.plus(self._far), 1))
        variation, square, divergence = (
            torch.stack([getattr(one, name) for one in found]).amin(0)
            for name in ("variation", "square", "divergence")
        )
        return MeanBounds(variation.clamp(max=1.0), square.clamp(max=1.0), divergence)

    def _split(self, together: LinearMoments, position: int) -> MeanBounds:
        """Bound draws with one x' by their moments, those of a set S each at its own worst x'."""
        alone = self._alone[position] / together.count
        first = bounded(-together.least_mean())
        second = bounded(together.largest_mean_square())
        return MeanBounds(
            variation=alone[0] + mean_upper_bound(first, second),
            square=alone[1] + second,
            divergence=alone[2] + first,
        )


def bounded(values: Tensor) -> Tensor:
    """Return bounds that are infinite where arithmetic gave no number, and never below 0."""
    return values.nan_to_num(nan=torch.inf, posinf=torch.inf).clamp(min=0.0)
