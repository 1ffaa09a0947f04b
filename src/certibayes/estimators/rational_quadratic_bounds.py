"""Ranges of rational-quadratic splines over boxes of their unconstrained numbers and arguments."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from certibayes.bounds import Interval
from certibayes.estimators.rational_quadratic import Splines, SplineShape


@dataclass(frozen=True)
class Shares:
    """Ranges of a softmax and of its partial sums; each attained over the box of logits.

    A share grows in its own logit and falls in every other; a partial sum grows in the logits of
    its terms and falls in the others.

    Attributes:
        each: p_j = softmax(logits)_j, shape (*, bins).
        below: sum of p_j over j < k, k = 0..bins, shape (*, bins + 1).
    """

    each: Interval
    below: Interval

    @classmethod
    def of(cls, logits: Interval) -> Shares:
        """Return the ranges over a box of logits, shape (*, bins)."""
        most, most_below = _shares(logits.upper, logits.lower)
        least, least_below = _shares(logits.lower, logits.upper)
        return cls(Interval(least, most), Interval(least_below, most_below))


@dataclass(frozen=True)
class SplineBox:
    """Ranges of splines' parameters.

    Attributes:
        shape: what bounds the splines' parameters.
        widths: shares of the bins' widths.
        heights: shares of their heights.
        u: knots, shape (*, bins + 1); both ends of the intervals are increasing sequences.
        z: values at the knots, likewise.
        log_slope: log derivatives at the knots, shape (*, bins + 1).
        flatness: derivatives of the inner log derivatives by their unconstrained numbers, in
            [0, 1], shape (*, bins - 1).
    """

    shape: SplineShape
    widths: Shares
    heights: Shares
    u: Interval
    z: Interval
    log_slope: Interval
    flatness: Interval

    @classmethod
    def of(cls, unconstrained: Interval, shape: SplineShape) -> SplineBox:
        """Return the ranges over a box of unconstrained numbers, shape (*, 3 * bins - 1)."""
        sizes = (shape.bins, shape.bins, shape.bins - 1)
        parts = zip(
            unconstrained.lower.split(sizes, -1), unconstrained.upper.split(sizes, -1), strict=True
        )
        widths, heights, slopes = (Interval(*ends) for ends in parts)
        limit = math.log(shape.steepest)
        inner = slopes.increasing(lambda t: (t / limit).tanh())
        ends = inner.magnitude().square()
        width, height = Shares.of(widths), Shares.of(heights)
        return cls(
            shape,
            width,
            height,
            _knots(width.below, shape),
            _knots(height.below, shape),
            inner.scaled(limit).reshape(lambda t: functional.pad(t, (1, 1))),
            Interval(1 - ends.upper, 1 - ends.lower),
        )

    def extent(self, shares: Shares) -> Interval:
        """Return the ranges of the bins' widths or heights, shape (*, bins)."""
        share = shares.each.scaled(1 - self.shape.smallest_bin * self.shape.bins)
        return (share + self.shape.smallest_bin).scaled(2 * self.shape.bound)

    def value(self, w: Interval) -> Interval:
        """Return the range of z at arguments w, shape (*): attained over the box of knots.

        Inside a bin dz/dw, dz/dz_k, dz/dz_(k+1), dz/dd_k >= 0 and dz/du_k, dz/du_(k+1),
        dz/dd_(k+1) <= 0 (see `rational_quadratic_gradients`), and z is continuous across bins. So
        the least z has the least w and knot values and the largest knots u; these fix bin and
        position, and there the derivative on the left is least and the one on the right largest.
        """
        slope = self.log_slope.increasing(torch.exp)
        return Interval(
            _corner(w.lower, self.u.upper, self.z.lower, slope.lower, slope.upper),
            _corner(w.upper, self.u.lower, self.z.upper, slope.upper, slope.lower),
        )


def _corner(w: Tensor, u: Tensor, z: Tensor, d_left: Tensor, d_right: Tensor) -> Tensor:
    inside = w.clamp(u[..., 0], u[..., -1])
    at_left = Splines(u, z, d_left).bin_at(u, inside)
    at_right = Splines(u, z, d_right).bin_at(u, inside)
    bin_ = replace(at_left, d_right=at_right.d_right)
    position = ((inside - bin_.u) / bin_.width).clamp(0.0, 1.0)
    return torch.where(inside != w, w, bin_.value(position))


def _shares(own: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return shares and partial sums, each with its own logits from `own`, the rest `others`."""
    before, after = _log_sums(others)
    rest = torch.logaddexp(before[..., :-1], after[..., 1:])
    return (own - rest).sigmoid(), (_log_sums(own)[0] - after).sigmoid()


def _log_sums(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logarithms of the sums of exp over j < k and over j >= k, k = 0..bins."""
    before = logits.logcumsumexp(-1)
    after = logits.flip(-1).logcumsumexp(-1).flip(-1)
    empty = -torch.inf
    return functional.pad(before, (1, 0), value=empty), functional.pad(after, (0, 1), value=empty)


def _knots(below: Interval, shape: SplineShape) -> Interval:
    free = 1 - shape.smallest_bin * shape.bins
    count = torch.arange(shape.bins + 1).to(below.lower)

    def at(t: Tensor) -> Tensor:
        inner = 2 * shape.bound * (shape.smallest_bin * count + free * t) - shape.bound
        ends = inner[..., 1:-1]
        low = functional.pad(ends, (1, 0), value=-shape.bound)
        return functional.pad(low, (0, 1), value=shape.bound)

    return below.increasing(at)
