"""Total variation by a divergence that is cut to a region of theta, from finitely many draws."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from certibayes.bounds.ellipsoid import Region
from certibayes.certificates.confidence import split_confidence
from certibayes.certificates.linear_moments import LinearMoments
from certibayes.metrics.intervals.clopper_pearson import clopper_pearson_lower
from certibayes.metrics.intervals.width import WidthMethod, mean_width

MARGIN = 1.5
"""The region reaches this many times as far as the farthest pilot draw."""


def total_variation_bound(divergence: Tensor, outside: Tensor) -> Tensor:
    """Return outside + sqrt((max(divergence, 0) + outside) / 2), at most 1; shape (batch,).

    Bounds TV(P, Q) if P(K) >= 1 - outside and E_P[1_K log(dP / dQ)] <= divergence for a set K: with
    pi = P(K), the part of TV in K is at most sqrt((divergence + pi log(1 / pi)) / 2), by Pinsker's
    inequality on P and on Q scaled down to the mass pi where it has more, and
    pi log(1 / pi) <= 1 - pi.

    Args:
        divergence: nats.
        outside: at least P(not K).
    """
    return (outside + ((divergence.clamp(min=0.0) + outside) / 2).sqrt()).clamp(max=1.0)


class TruncatedKL:
    """Bounds TV by planes g below log q(theta | x') - log q(theta | x) of thetas in a region K.

    K = {theta: |slope . (t - center)| <= reach over the region of t, -offset <= drop}, fixed before
    any theta that is added. For one x' the terms -1_K g are independent and lie in
    [-reach, reach + drop]; their mean over draws is at most that at the worst t.
    """

    def __init__(self, region: Region, center: Tensor, reach: Tensor, drop: Tensor) -> None:
        """Fix the region K.

        Args:
            region: of the standardised x', shape (batch, x_dim).
            center: the standardised x, same shape.
            reach: largest change of a plane over the region of x', nats, shape (batch,).
            drop: largest drop of a plane at x itself, nats, shape (batch,).
        """
        self.reach = reach
        self.drop = drop
        self._moments = LinearMoments(region, center)
        self._inside = torch.zeros(len(center), dtype=torch.int64)

    @classmethod
    def of_pilot(
        cls, region: Region, center: Tensor, pilot: Iterable[tuple[Tensor, Tensor]]
    ) -> TruncatedKL:
        """Fix K from the planes (slope, offset) of pilot draws, which are never added.

        Slopes have shape (n, batch, x_dim), offsets (n, batch). Planes that are not finite do not
        count.
        """
        measure = LinearMoments(region, center)
        reach, drop = center.new_zeros(len(center)), center.new_zeros(len(center))
        for slope, offset in pilot:
            reach = torch.maximum(reach, _largest_finite(measure.reach(slope)))
            drop = torch.maximum(drop, _largest_finite(-offset))
        return cls(region, center, MARGIN * reach, MARGIN * drop)

    def add(self, slope: Tensor, offset: Tensor) -> None:
        """Add planes of fresh draws; slope (n, batch, x_dim), offset (n, batch)."""
        inside = (self._moments.reach(slope) <= self.reach) & (-offset <= self.drop)
        self._moments.add(
            torch.where(inside.unsqueeze(-1), slope, 0.0), torch.where(inside, offset, 0.0)
        )
        self._inside += inside.sum(0)

    def mean(self) -> Tensor:
        """Return the bound without the widths that the confidence adds, shape (batch,)."""
        outside = 1 - self._inside.double() / self._moments.count
        return total_variation_bound(-self._moments.least_mean(), outside)

    def upper(self, interval: WidthMethod, confidence: float) -> Tensor:
        """Bound the total variation at every x' of the region, shape (batch,).

        Half of 1 - confidence goes to the mass of K (Clopper-Pearson), half to the divergence.

        Args:
            interval: "hoeffding" or "empirical_bernstein".
            confidence: for each observation alone.
        """
        alpha = 1 - split_confidence(confidence, 2)
        n = self._moments.count
        mass = [clopper_pearson_lower(k, n, alpha) for k in self._inside.tolist()]
        variance = self._moments.largest_variance() * n / (n - 1)
        width = mean_width(interval, variance, 2 * self.reach + self.drop, n, alpha)
        divergence = width - self._moments.least_mean()
        return total_variation_bound(divergence, 1 - divergence.new_tensor(mass))


def _largest_finite(values: Tensor) -> Tensor:
    return torch.where(values.isfinite(), values, 0.0).amax(0).clamp(min=0.0)
