"""What bounds of all estimators share: the standardised ball and the last affine step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from certibayes.bounds import BallAround, Interval, Region, propagate
from certibayes.estimators.base import Estimator
from certibayes.threat import Ball


def standardized_ball(estimator: Estimator, x: Tensor, ball: Ball) -> Region:
    """Return a region that holds `estimator.standardize(x')` for all x' in the ball around x.

    Exact without squashing; with it, exact for boxes and an enclosing ellipsoid for l2.
    """
    region = BallAround(x, ball).region()
    region = region.standardized(estimator.x_location, estimator.x_scale)
    return region.asinh() if estimator.squash else region


def embedded_ball(estimator: Estimator, x: Tensor, ball: Ball) -> Region:
    """Return a region that holds `estimator.condition(x')` for all x' in the ball around x."""
    return propagate(estimator.embedding, standardized_ball(estimator, x, ball))


def affine_normal_log_density(u: Interval, scale: Interval, shift: Interval) -> Interval:
    """Return bounds of sum_i log s_i + log N(s_i u_i + t_i; 0, 1) over intervals of s > 0, u, t.

    Lower: at fixed (u, t), log s - (s u + t)^2 / 2 is concave in s, so that the worst s is an end
    of its interval, and at either end the worst square is that of the largest |s u + t|: the bound
    is attained. Upper: largest log s and smallest square, each by itself.

    Args:
        u: inputs of the affine step, shape (*, batch, d).
        scale: s, same shape.
        shift: t, same shape.

    Returns:
        Bounds of shape (*, batch).
    """
    lower = torch.minimum(
        _worst_at(scale.lower, u, shift),
        _worst_at(scale.upper, u, shift),
    )
    nearest = (u.scaled_by_positive(scale) + shift).magnitude().lower
    upper = scale.upper.log() - 0.5 * nearest.square()
    constant = -0.5 * u.lower.shape[-1] * math.log(2 * math.pi)
    return Interval(lower.sum(-1) + constant, upper.sum(-1) + constant)


def _worst_at(scale: Tensor, u: Interval, shift: Interval) -> Tensor:
    farthest = torch.maximum(scale * u.upper + shift.upper, -(scale * u.lower + shift.lower))
    return scale.log() - 0.5 * farthest.square()
