"""Interval bounds of a Gaussian posterior's log density and of its worst-case divergence."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.bounds import Interval, propagate
from certibayes.bounds.affine import affine, row_products
from certibayes.estimators.bounded_density import affine_normal_log_density, standardized_ball
from certibayes.estimators.gaussian import GaussianEstimator
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
    homogeneous = torch.cat((v, torch.ones_like(v[..., :1])), -1)
    scale, rest = _scale_and_rest(estimator, homogeneous, x, ball)
    scale = scale.reshape(lambda t: t.expand_as(v))
    return affine_normal_log_density(Interval.point(v), scale, rest) + log_det


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
    latent = posterior.latent
    columns = latent.scale_tril.movedim(-1, 0)
    directions = torch.cat((latent.loc.unsqueeze(0), columns))
    last = torch.zeros_like(directions[..., :1])
    last[0] = 1
    scale, rest = _scale_and_rest(estimator, torch.cat((directions, last), -1), x, ball)
    worst = []
    for end in (scale.lower, scale.upper):
        squares = (rest + end * directions).magnitude().upper.square().sum(0)
        worst.append(end.log() - 0.5 * squares)
    clean = posterior.precision_factor.diagonal(dim1=-2, dim2=-1).log()
    return (clean - 0.5 - torch.minimum(*worst)).sum(-1)


def _scale_and_rest(
    estimator: GaussianEstimator, homogeneous: Tensor, x: Tensor, ball: Ball
) -> tuple[Interval, Interval]:
    """Bound T_ii, shape (batch, d), and sum_(j<i) T_ij h_j + c_i h_(d+1), shape (*, batch, d)."""
    hidden = propagate(estimator.trunk, standardized_ball(estimator, x, ball))
    _, diagonal, _ = estimator.split(estimator.head.weight, 0)
    _, diagonal_bias, _ = estimator.split(estimator.head.bias, 0)
    scale = affine(hidden, diagonal, diagonal_bias).increasing(positive_scale)
    return scale, affine(hidden, *folded_head(estimator, homogeneous), row_products)


def folded_head(estimator: GaussianEstimator, homogeneous: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight and bias of sum_(j<i) T_ij h_j + c_i h_(d+1) as a function of the hidden layer.

    Args:
        estimator: the Gaussian estimator.
        homogeneous: h, shape (*, batch, theta_dim + 1).

    Returns:
        Shapes (*, batch, theta_dim, hidden) and (*, batch, theta_dim).
    """
    d = estimator.theta_dim
    offset, _, below = estimator.split(estimator.head.weight, 0)
    offset_bias, _, below_bias = estimator.split(estimator.head.bias, 0)
    weight = _by_row(offset, below, d)
    bias = _by_row(offset_bias.unsqueeze(-1), below_bias.unsqueeze(-1), d).squeeze(-1)
    return torch.tensordot(homogeneous, weight, dims=([-1], [1])), homogeneous @ bias.T


def _by_row(offset: Tensor, below: Tensor, d: int) -> Tensor:
    """Arrange the last layer's rows by (i, j), j = d for the offset; (d, d + 1, hidden)."""
    rows, columns = torch.tril_indices(d, d, -1)
    arranged = offset.new_zeros(d, d + 1, offset.shape[-1])
    arranged = arranged.index_put((rows, columns), below)
    return torch.cat((arranged[:, :d], offset.unsqueeze(1)), 1)
