"""Interval bounds of a neural spline flow's log density."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from certibayes.bounds import Interval, Region
from certibayes.bounds.affine import affine
from certibayes.estimators.bounded_density import embedded_ball
from certibayes.estimators.made import MADEWeights
from certibayes.estimators.made_hidden import hidden_bounds
from certibayes.estimators.nsf import NSFEstimator
from certibayes.estimators.rational_quadratic import SplineShape
from certibayes.estimators.rational_quadratic_bins import BinBox
from certibayes.estimators.rational_quadratic_bounds import SplineBox
from certibayes.estimators.scale import positive_scale
from certibayes.threat import Ball


def log_density_bounds(estimator: NSFEstimator, theta: Tensor, x: Tensor, ball: Ball) -> Interval:
    """Return bounds of log q(theta | x') over all x' in the ball around each x.

    theta is fixed, so the first transform's input is a point; each further one gets an interval.
    Values of splines are bounded by monotonicity, attained over boxes of knots; log derivatives in
    every bin that the argument may lie in, see `BinBox.log_slope`. Differentiable; exact at radius
    0; computed in the dtype of the weights and inputs.

    Args:
        estimator: the flow.
        theta: raw, shape (*, batch, theta_dim); off the support both bounds are -inf.
        x: raw, shape (batch, x_dim).
        ball: radius in raw units of x.

    Returns:
        Bounds of shape (*, batch). Memory: some 50 tensors of shape (*, batch, theta_dim, bins).
    """
    region = embedded_ball(estimator, x, ball)
    v, log_det = estimator.theta_map.to_v(theta)
    first, *further = estimator.made_weights()
    log_density = Interval.point(log_det - 0.5 * v.shape[-1] * math.log(2 * math.pi))
    z, log_slope = _transformed(first, region, v, estimator.shape)
    for weights in further:
        log_density = log_density + log_slope.sum()
        z = z.reshape(lambda t: t.flip(-1))
        z, log_slope = _transformed(weights, region, z, estimator.shape)
    return log_density + (log_slope - z.square().scaled(0.5)).sum()


def _transformed(
    weights: MADEWeights, region: Region, u: Interval | Tensor, shape: SplineShape
) -> tuple[Interval, Interval]:
    """Return bounds of one transform's z and log dz_i / du_i, shape (*, batch, d)."""
    hidden = hidden_bounds(weights, region, u)
    scale = affine(hidden, *weights.scale).increasing(positive_scale)
    shift = affine(hidden, *weights.shift)
    inputs = Interval.point(u) if isinstance(u, Tensor) else u
    w = inputs.scaled_by_positive(scale) + shift
    weight, bias = weights.splines
    numbers = affine(hidden, weight.flatten(0, 1), bias.flatten())
    box = SplineBox.of(numbers.reshape(lambda t: t.unflatten(-1, bias.shape)), shape)
    return box.value(w), BinBox.of(box, w).log_slope() + scale.increasing(torch.log)
