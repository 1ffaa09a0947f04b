"""A Gaussian posterior's log density as a graph of nodes, for linear bounds in x'."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.bounds.affine import affine, row_products
from certibayes.bounds.graph import Input, Node
from certibayes.bounds.nodes import Affine, Scaled, Shifted, Sum
from certibayes.estimators.density_nodes import (
    affine_node,
    hidden_layer,
    log_scale_node,
    normal_log_density_node,
    scale_node,
)
from certibayes.estimators.gaussian import GaussianEstimator
from certibayes.estimators.gaussian_head import GaussianHead


def log_density_graph(estimator: GaussianEstimator, theta: Tensor, standardized: Input) -> Node:
    """Return log q(theta | x') as a function of the standardised x'.

    noise_i = T_ii v_i + (sum_(j<i) T_ij v_j + c_i); the bracket is one linear map of the hidden
    layer for every theta, with the last layer folded in.

    Args:
        estimator: the Gaussian estimator.
        theta: raw, inside the support, shape (*, batch, theta_dim).
        standardized: the perturbed input, shape (batch, x_dim).

    Returns:
        A node with values of shape (*, batch).
    """
    v, log_det = estimator.theta_map.to_v(theta)
    hidden = hidden_layer(estimator, estimator.trunk, standardized)
    return Shifted(head_log_density_node(estimator.gaussian_head(), hidden, v), log_det)


def head_log_density_node(head: GaussianHead, hidden: Node, v: Tensor) -> Node:
    """Return the log density of one Gaussian at v, values of shape (*, batch).

    Args:
        head: last layer of the Gaussian.
        hidden: the layer before.
        v: shape (*, batch, theta_dim).
    """
    raw = affine_node(hidden, *head.raw_scale())
    noise = noise_node(head, hidden, raw, torch.cat((v, torch.ones_like(v[..., :1])), -1))
    return normal_log_density_node(noise, log_scale_node(raw), constant=v.new_zeros(v.shape[:-1]))


def noise_node(head: GaussianHead, hidden: Node, raw: Node, homogeneous: Tensor) -> Sum:
    """Return T h + c h_(d+1), values of shape (*, batch, d).

    Args:
        head: last layer of the Gaussian.
        hidden: the layer before.
        raw: raw diagonal of T.
        homogeneous: h, shape (*, batch, d + 1).
    """
    weight, bias = head.folded(homogeneous)
    region = affine(hidden.region, weight, bias, row_products)
    rest = Affine(hidden, region, lambda a: (a.unsqueeze(-2) @ weight).squeeze(-2), bias)
    return Sum(Scaled(scale_node(raw), homogeneous[..., :-1]), rest)
