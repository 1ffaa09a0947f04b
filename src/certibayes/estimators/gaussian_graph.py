"""A Gaussian posterior's log density as a graph of nodes, for linear bounds in x'."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.bounds.affine import affine, row_products
from certibayes.bounds.graph import Input, Node
from certibayes.bounds.graph_rules import apply
from certibayes.bounds.nodes import Affine, Scaled, Sum
from certibayes.estimators.density_nodes import (
    affine_node,
    log_scale_node,
    normal_log_density_node,
    scale_node,
)
from certibayes.estimators.gaussian import GaussianEstimator
from certibayes.estimators.gaussian_bounds import folded_head


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
    hidden = apply(estimator.trunk, standardized)
    _, weight, _ = estimator.split(estimator.head.weight, 0)
    _, bias, _ = estimator.split(estimator.head.bias, 0)
    raw = affine_node(hidden, weight, bias)
    rest = _rest(estimator, hidden, torch.cat((v, torch.ones_like(v[..., :1])), -1))
    noise = Sum(Scaled(scale_node(raw), v), rest)
    return normal_log_density_node(noise, log_scale_node(raw), constant=log_det)


def _rest(estimator: GaussianEstimator, hidden: Node, homogeneous: Tensor) -> Affine:
    weight, bias = folded_head(estimator, homogeneous)
    region = affine(hidden.region, weight, bias, row_products)
    return Affine(hidden, region, lambda a: (a.unsqueeze(-2) @ weight).squeeze(-2), bias)
