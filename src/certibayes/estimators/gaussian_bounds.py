"""Interval bounds of a Gaussian posterior's log density and of its worst-case divergence."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.bounds import Interval, Region, propagate
from certibayes.bounds.affine import affine, row_products
from certibayes.estimators.bounded_density import affine_normal_log_density, embedded_ball
from certibayes.estimators.gaussian import GaussianEstimator, GaussianPosterior
from certibayes.estimators.gaussian_head import GaussianHead
from certibayes.estimators.scale import positive_scale
from certibayes.threat import Ball


def log_density_bounds(
    estimator: GaussianEstimator, theta: Tensor, x: Tensor, ball: Ball
) -> Interval:
    """Return bounds of log q(theta | x') over all x' in the ball around each x.

    noise_i = T_ii v_i + (sum_(j<i) T_ij v_j + c_i); the bracket is linear in the network's outputs
    and is bounded with the last layer folded in. Differentiable; exact at radius 0; computed in
    the dtype of the weights and inputs.

    Args:
        estimator: the Gaussian estimator.
        theta: raw, shape (*, batch, theta_dim); off the support both bounds are -inf.
        x: raw, shape (batch, x_dim).
        ball: radius in raw units of x.

    Returns:
        Bounds of shape (*, batch). Memory: two tensors of shape (*, batch, theta_dim, hidden).
    """
    v, log_det = estimator.theta_map.to_v(theta)
    hidden = propagate(estimator.trunk, embedded_ball(estimator, x, ball))
    return head_log_density_bounds(estimator.gaussian_head(), hidden, v) + log_det


def head_log_density_bounds(head: GaussianHead, hidden: Region, v: Tensor) -> Interval:
    """Return bounds, shape (*, batch), of the log density of one Gaussian at v.

    Args:
        head: last layer of the Gaussian.
        hidden: values of the layer before.
        v: shape (*, batch, theta_dim).
    """
    homogeneous = torch.cat((v, torch.ones_like(v[..., :1])), -1)
    scale, rest = scale_and_rest(head, hidden, homogeneous)
    scale = scale.reshape(lambda t: t.expand_as(v))
    return affine_normal_log_density(Interval.point(v), scale, rest)


def forward_kl_upper(estimator: GaussianEstimator, x: Tensor, ball: Ball) -> Tensor:
    """Return an upper bound of KL(q(. | x) || q(. | x')) over all x' in the ball, shape (batch,).

    With v ~ N(m, L L^T) at x: KL = sum_i log T_ii - theta_dim / 2
    - sum_i min over x' of [log T'_ii - E noise'_i^2 / 2], where E noise'_i^2 is the sum of the
    squares of row i of [T', c'] times (m, 1) and times (L_k, 0) for every column L_k. Each is
    bounded as in `log_density_bounds`; the bracket is concave in T'_ii, whose worst value is an
    end of its interval. Deterministic, differentiable, exact at radius 0.

    Args:
        estimator: the Gaussian estimator.
        x: raw, shape (batch, x_dim).
        ball: radius in raw units of x.
    """
    posterior = estimator(x)
    hidden = propagate(estimator.trunk, embedded_ball(estimator, x, ball))
    return head_forward_kl_upper(estimator.gaussian_head(), hidden, posterior)


def head_forward_kl_upper(
    head: GaussianHead, hidden: Region, posterior: GaussianPosterior
) -> Tensor:
    """Return the bound of `forward_kl_upper` for one Gaussian, shape (batch,).

    Args:
        head: last layer of the Gaussian.
        hidden: values of the layer before.
        posterior: the Gaussian at x.
    """
    latent = posterior.latent
    columns = latent.scale_tril.movedim(-1, 0)
    directions = torch.cat((latent.loc.unsqueeze(0), columns))
    last = torch.zeros_like(directions[..., :1])
    last[0] = 1
    scale, rest = scale_and_rest(head, hidden, torch.cat((directions, last), -1))
    worst = []
    for end in (scale.lower, scale.upper):
        squares = (rest + end * directions).magnitude().upper.square().sum(0)
        worst.append(end.log() - 0.5 * squares)
    clean = posterior.precision_factor.diagonal(dim1=-2, dim2=-1).log()
    return (clean - 0.5 - torch.minimum(*worst)).sum(-1)


def scale_and_rest(
    head: GaussianHead, hidden: Region, homogeneous: Tensor
) -> tuple[Interval, Interval]:
    """Bound T_ii, shape (batch, d), and sum_(j<i) T_ij h_j + c_i h_(d+1), shape (*, batch, d).

    Args:
        head: last layer of the Gaussian.
        hidden: values of the layer before.
        homogeneous: h, shape (*, batch, d + 1).
    """
    scale = affine(hidden, *head.raw_scale()).increasing(positive_scale)
    return scale, affine(hidden, *head.folded(homogeneous), row_products)
