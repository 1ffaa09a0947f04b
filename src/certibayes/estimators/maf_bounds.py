"""Interval bounds of a masked autoregressive flow's log density."""

from __future__ import annotations

from torch import Tensor

from certibayes.bounds import Interval, Region
from certibayes.bounds.affine import affine
from certibayes.estimators.bounded_density import affine_normal_log_density, embedded_ball
from certibayes.estimators.made import MADEWeights
from certibayes.estimators.made_hidden import hidden_bounds
from certibayes.estimators.maf import MAFEstimator
from certibayes.estimators.scale import positive_scale
from certibayes.threat import Ball


def log_density_bounds(estimator: MAFEstimator, theta: Tensor, x: Tensor, ball: Ball) -> Interval:
    """Return bounds of log q(theta | x') over all x' in the ball around each x.

    theta is fixed, so the first transform's input is a point; each further one gets an interval.
    The ball enters every context layer exactly, once per observation for all theta. Differentiable;
    exact at radius 0; computed in the dtype of the weights and inputs.

    Args:
        estimator: the flow.
        theta: raw, shape (*, batch, theta_dim); off the support both bounds are -inf.
        x: raw, shape (batch, x_dim).
        ball: radius in raw units of x.

    Returns:
        Bounds of shape (*, batch). Memory: a few tensors of shape (*, batch, hidden).
    """
    region = embedded_ball(estimator, x, ball)
    v, log_det = estimator.theta_map.to_v(theta)
    weights = estimator.made_weights()
    u = Interval.point(v)
    scale, shift = _scale_and_shift(weights[0], region, v)
    log_scales = Interval.point(log_det)
    for following in weights[1:]:
        log_scales = log_scales + scale.increasing(lambda s: s.log()).sum()
        u = (u.scaled_by_positive(scale) + shift).reshape(lambda t: t.flip(-1))
        scale, shift = _scale_and_shift(following, region, u)
    return affine_normal_log_density(u, scale, shift) + log_scales


def _scale_and_shift(
    weights: MADEWeights, region: Region, u: Interval | Tensor
) -> tuple[Interval, Interval]:
    outputs = affine(hidden_bounds(weights, region, u), *weights.scale_and_shift)
    raw, shift = zip(outputs.lower.chunk(2, -1), outputs.upper.chunk(2, -1), strict=True)
    return Interval(*raw).increasing(positive_scale), Interval(*shift)
