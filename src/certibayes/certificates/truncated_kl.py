"""Total variation by a divergence that is cut to a region of theta, from finitely many draws."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.bounds.ellipsoid import Region
from certibayes.certificates.confidence import split_confidence
from certibayes.certificates.linear_moments import LinearMoments
from certibayes.metrics.intervals.clopper_pearson import clopper_pearson_lower
from certibayes.metrics.intervals.width import WidthMethod, mean_width

SIZES = ((1.5, 1.0), (1.0, 1.0), (1.0, 0.99), (1.0, 0.95), (1.0, 0.9))
"""Candidates of the region: a margin, and the share of pilot draws that lie inside at margin 1."""


@dataclass(frozen=True)
class Stated:
    """What is to be stated with fresh draws.

    Attributes:
        interval: "hoeffding" or "empirical_bernstein".
        confidence: for each observation alone.
        draws: how many.
    """

    interval: WidthMethod
    confidence: float
    draws: int


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
        cls,
        region: Region,
        center: Tensor,
        pilot: Iterable[tuple[Tensor, Tensor]],
        stated: Stated,
    ) -> TruncatedKL:
        """Fix K from the planes (slope, offset) of pilot draws, which are never added.

        Every second pilot draw says how large the candidates of K are (`SIZES`), the others for
        which of these the bound that is to be stated is expected to be least. Planes that are not
        finite do not count in the sizes.

        Args:
            region: of the standardised x', shape (batch, x_dim).
            center: the standardised x, same shape.
            pilot: slopes of shape (n, batch, x_dim) and offsets of shape (n, batch), n >= 2 in all.
            stated: the bound that the fresh draws are to give.
        """
        slope, offset = (torch.cat(parts) for parts in zip(*pilot, strict=True))
        reach = LinearMoments(region, center).reach(slope[::2])
        found = []
        for margin, level in SIZES:
            sizes = (margin * _quantile(of, level) for of in (reach, -offset[::2]))
            candidate = cls(region, center, *sizes)
            candidate.add(slope[1::2], offset[1::2])
            found.append(candidate)
        best = torch.stack([one._expected(stated) for one in found]).argmin(0, keepdim=True)
        reach, drop = (
            torch.stack([getattr(one, name) for one in found]).gather(0, best).squeeze(0)
            for name in ("reach", "drop")
        )
        return cls(region, center, reach, drop)

    def add(self, slope: Tensor, offset: Tensor) -> None:
        """Add planes of fresh draws; slope (n, batch, x_dim), offset (n, batch)."""
        inside = (self._moments.reach(slope) <= self.reach) & (-offset <= self.drop)
        self._moments.add(slope, offset, inside)
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
        return self._expected(Stated(interval, confidence, self._moments.count))

    def _expected(self, stated: Stated) -> Tensor:
        """Return what `upper` would be if as many draws as are to be added were like these."""
        alpha, n = 1 - split_confidence(stated.confidence, 2), stated.draws
        divergence = self.divergence_upper(stated.interval, alpha, n)
        return total_variation_bound(divergence, 1 - self.mass_lower(alpha, n))

    def mass_lower(self, alpha: float, draws: int) -> Tensor:
        """Bound P(K) from below (Clopper-Pearson), each with confidence 1 - alpha, (batch,).

        Args:
            alpha: probability, for each observation alone, that the bound fails.
            draws: as many as were added; else the bound that these many draws like them would give.
        """
        inside = (self._inside * draws // self._moments.count).tolist()
        return self.reach.new_tensor([clopper_pearson_lower(k, draws, alpha) for k in inside])

    def divergence_upper(self, interval: WidthMethod, alpha: float, draws: int) -> Tensor:
        """Bound E[-1_K g(t)] from above at any one t of the region, shape (batch,).

        Args:
            interval: "hoeffding" or "empirical_bernstein".
            alpha: probability, for each observation alone, that the bound fails.
            draws: as for `mass_lower`.
        """
        variance = self._moments.largest_variance() * draws / (draws - 1)
        width = mean_width(interval, variance, 2 * self.reach + self.drop, draws, alpha)
        return width - self._moments.least_mean()


def _quantile(values: Tensor, level: float) -> Tensor:
    """Return the smallest number that a share of the finite values does not exceed, or 0.

    Args:
        values: shape (n, batch).
        level: the share, in (0, 1].
    """
    finite = values.isfinite()
    ordered = torch.where(finite, values, torch.inf).sort(0).values
    rank = (level * finite.sum(0)).ceil().long().clamp(min=1) - 1
    chosen = ordered.gather(0, rank.unsqueeze(0)).squeeze(0)
    return torch.where(finite.any(0), chosen, 0.0).clamp(min=0.0)
