"""Enclosures of the derivatives of rational-quadratic splines by everything they depend on.

Notation of `rational_quadratic_bins`; with
E = d_left (1 - p)^2 + 2 (d_left + s) q + (2 s + d_right) p^2 and F its mirror image, inside a bin
dz / dw = N / T^2, dz / du_k = -((1 - p) / T)^2 E, dz / du_(k+1) = -(p / T)^2 F,
dz / dz_(k+1) = (p / T)^2 (1 - 2 q + 2 e q + e (d_left / s) (1 - p)^2), dz / dz_k its mirror image,
dz / dd_left = width q (1 - p) (1 - p + p d_right / s) / T^2, -dz / dd_right its mirror image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, reduce

import torch
from torch import Tensor
from torch.nn import functional

from certibayes.bounds import Interval
from certibayes.estimators.rational_quadratic_bins import BinBox, reciprocal
from certibayes.estimators.rational_quadratic_bounds import Shares, SplineBox


@dataclass(frozen=True)
class Gradient:
    """Ranges of the derivatives of one number per spline.

    Attributes:
        w: by the argument, shape (*).
        numbers: by the unconstrained numbers, shape (*, 3 * bins - 1).
    """

    w: Interval
    numbers: Interval


@dataclass(frozen=True)
class _Local:
    """Ranges of the derivatives by what a bin consists of, shape (*, bins); zero where None."""

    w: Interval
    u_left: Interval
    u_right: Interval
    log_left: Interval
    log_right: Interval
    z_left: Interval | None = None
    z_right: Interval | None = None
    log_mean: Interval | None = None


def value_gradient(box: SplineBox, bins: BinBox) -> Gradient:
    """Return ranges of the derivatives of z over all possible bins and tails.

    z is continuous and piecewise smooth: along any path inside the box it changes by the integral
    of derivatives that lie in these ranges.
    """
    left, mean, right = (
        part.increasing(torch.exp) for part in (bins.log_left, bins.log_mean, bins.log_right)
    )
    total = bins.left + bins.right
    e, f = total.scaled_by_positive(bins.left), total.scaled_by_positive(bins.right)
    before = (bins.rest.scaled_by_positive(bins.inverse_t)).square()
    after = (bins.p.scaled_by_positive(bins.inverse_t)).square()
    reach = bins.log_height.increasing(torch.exp).scaled_by_positive(bins.q)
    twice = mean.scaled(2.0)
    by_left = reach * bins.left * bins.rest * bins.linear(_one(bins), bins.right)
    by_right = reach * bins.right * bins.p * bins.linear(bins.left, _one(bins))
    square = bins.inverse_t.square()
    local = _Local(
        w=bins.log_slope_in_bins.increasing(torch.exp),
        u_left=-(before * bins.quadratic(left, left + mean, twice + right)),
        u_right=-(after * bins.quadratic(left + twice, mean + right, right)),
        z_left=before * bins.quadratic(1.0, total, f + 1.0),
        z_right=after * bins.quadratic(e + 1.0, total, 1.0),
        log_left=by_left * square,
        log_right=-(by_right * square),
    )
    return _over_bins(box, bins, local, 1.0)


def log_slope_gradient(box: SplineBox, bins: BinBox) -> Gradient:
    """Return ranges of the derivatives of log dz / dw over all possible bins and tails.

    It is continuous and piecewise smooth, as z is.
    """
    by_w = bins.by_position * reciprocal(bins.log_width.increasing(torch.exp))
    local = _Local(
        w=by_w,
        u_left=-(bins.rest * by_w),
        u_right=-(bins.p * by_w),
        log_left=bins.by_log_left,
        log_right=bins.by_log_right,
        log_mean=bins.by_log_mean,
    )
    return _over_bins(box, bins, local, 0.0)


def _over_bins(box: SplineBox, bins: BinBox, local: _Local, tail: float) -> Gradient:
    """Return the hull over possible bins; in the tails the derivative by w is `tail`."""
    by_w, by_numbers = [], []
    for k in range(box.shape.bins):
        possible = bins.possible[..., k : k + 1]
        by_w.append(_masked(_at(k, local.w), possible))
        by_numbers.append(_masked(_by_numbers(box, local, k), possible))
    outside = bins.tail.unsqueeze(-1)
    by_numbers.append(_masked(Interval.point(torch.zeros_like(by_numbers[0].lower)), outside))
    by_w.append(_masked(Interval.point(torch.full_like(by_w[0].lower, tail)), outside))
    return Gradient(reduce(_hull, by_w).reshape(lambda t: t.squeeze(-1)), reduce(_hull, by_numbers))


def _by_numbers(box: SplineBox, local: _Local, k: int) -> Interval:
    """Return the derivatives in bin k by the unconstrained numbers, shape (*, 3 * bins - 1)."""
    shape, logits = box.shape, box.widths.each
    free = 2 * shape.bound * (1 - shape.smallest_bin * shape.bins)
    u_left, u_right = (_by_logits(box.widths, j).scaled(free) for j in (k, k + 1))
    widths = _at(k, local.u_left) * u_left + _at(k, local.u_right) * u_right
    heights = Interval.point(torch.zeros_like(logits.lower))
    if local.z_left is not None and local.z_right is not None:
        z_left, z_right = (_by_logits(box.heights, j).scaled(free) for j in (k, k + 1))
        heights = _at(k, local.z_left) * z_left + _at(k, local.z_right) * z_right
    if local.log_mean is not None:
        fixed = 2 * shape.bound * shape.smallest_bin / free
        mean = _at(k, local.log_mean)
        widths = widths - mean * _by_own_logits(box.widths.each, k, fixed)
        heights = heights + mean * _by_own_logits(box.heights.each, k, fixed)
    slopes = Interval.point(torch.zeros_like(box.flatness.lower))
    for inner, by_end in ((k - 1, local.log_left), (k, local.log_right)):
        if 0 <= inner < shape.bins - 1:
            one = _at(k, by_end).scaled_by_positive(_at(inner, box.flatness))
            around = (inner, shape.bins - 2 - inner)
            slopes = slopes + one.reshape(partial(functional.pad, pad=around))
    return _joined(widths, heights, slopes)


def _by_logits(shares: Shares, k: int) -> Interval:
    """Return d below_k / d logit_j = p_j (1[j < k] - below_k), shape (*, bins)."""
    before = torch.arange(shares.each.lower.shape[-1], device=shares.each.lower.device) < k
    sign = -_at(k, shares.below)
    return (sign + before.to(shares.each.lower)).scaled_by_positive(shares.each)


def _by_own_logits(share: Interval, k: int, fixed: float) -> Interval:
    """Return d log(p_k + fixed) / d logit_j = p_k (1[j = k] - p_j) / (p_k + fixed)."""
    own = torch.arange(share.lower.shape[-1], device=share.lower.device) == k
    factor = _at(k, share).increasing(lambda t: t / (t + fixed))
    return (-share + own.to(share.lower)).scaled_by_positive(factor)


def _at(k: int, values: Interval) -> Interval:
    return values.reshape(lambda t: t[..., k : k + 1])


def _one(bins: BinBox) -> Interval:
    return Interval.point(torch.ones_like(bins.p.lower))


def _masked(values: Interval, possible: Tensor) -> Interval:
    return Interval(
        torch.where(possible, values.lower, torch.inf),
        torch.where(possible, values.upper, -torch.inf),
    )


def _hull(one: Interval, other: Interval) -> Interval:
    return Interval(torch.minimum(one.lower, other.lower), torch.maximum(one.upper, other.upper))


def _joined(*parts: Interval) -> Interval:
    return Interval(
        torch.cat([part.lower for part in parts], -1), torch.cat([part.upper for part in parts], -1)
    )
