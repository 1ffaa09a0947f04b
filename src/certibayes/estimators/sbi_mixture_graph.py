"""The log density of a mixture density network trained elsewhere as a graph of nodes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from certibayes.bounds.graph import Input, Node
from certibayes.bounds.graph_rules import apply, enclosed, tightened
from certibayes.bounds.log_sum_exp import log_sum_exp_node
from certibayes.bounds.nodes import Elementwise, Product, Scaled, Shifted, Sum, Total
from certibayes.bounds.relaxations import concave, convex
from certibayes.estimators.density_nodes import affine_node, embedded, normal_log_density_node
from certibayes.estimators.sbi_mixture import SbiMixture


def log_density_graph(estimator: SbiMixture, theta: Tensor, standardized: Input) -> Node:
    """Return log q(theta | x') as a function of the standardized x'.

    With logits z_k and log densities l_k of the components,
    log q = log sum_k exp(z_k + l_k) - log sum_k exp(z_k).

    Args:
        estimator: the mixture.
        theta: shape (*, batch, theta_dim).
        standardized: the perturbed input, shape (batch, x_dim).

    Returns:
        A node with values of shape (*, batch).

    Raises:
        TypeError: if a module has no bound; the message names it.
    """
    v, log_det = estimator.theta_map.to_v(theta)
    net: Any = estimator.net
    hidden = apply(net._hidden_net, embedded(estimator, standardized))
    logits = [Total(_rows(hidden, net._logits_layer, k, 1)) for k in range(estimator.count)]
    joint = [Sum(_component(net, hidden, k, v), logit) for k, logit in enumerate(logits)]
    normalizer = Scaled(log_sum_exp_node(logits), v.new_tensor(-1.0))
    return Shifted(Sum(log_sum_exp_node(joint), normalizer), log_det)


def _component(net: Any, hidden: Node, k: int, v: Tensor) -> Node:
    """Return the log density of one Gaussian at v: noise_i = sum_(j >= i) A_ij (v_j - m_j)."""
    d = v.shape[-1]
    away = Shifted(Scaled(_rows(hidden, net._means_layer, k, d), -v.new_ones(d)), v)
    tightened(away)
    raw = _rows(hidden, net._unconstrained_diagonal_layer, k, d)
    noise: Node = Product(_diagonal(raw), away)
    if d > 1:
        row, column = torch.triu_indices(d, d, 1)
        every = torch.eye(d).to(v)
        upper = _rows(hidden, net._upper_layer, k, len(row))
        tightened(upper)
        other = affine_node(away, every[column], v.new_zeros(len(row)))
        tightened(other)
        noise = Sum(noise, affine_node(Product(upper, other), every[row].T, v.new_zeros(d)))
    constant = v.new_zeros(v.shape[:-1])
    return normal_log_density_node(noise, _log_diagonal(raw), constant=constant)


def _rows(hidden: Node, layer: Any, k: int, count: int) -> Node:
    """Return the outputs of one component."""
    rows = slice(k * count, (k + 1) * count)
    return affine_node(hidden, layer.weight[rows], layer.bias[rows])


def _diagonal(raw: Node) -> Elementwise:
    return enclosed(
        raw,
        lambda over: over.increasing(functional.softplus),
        lambda over: convex(functional.softplus, torch.sigmoid, over),
    )


def _log_diagonal(raw: Node) -> Elementwise:
    """Return log softplus(raw), concave and increasing."""
    return enclosed(
        raw,
        lambda over: over.increasing(_log_softplus),
        lambda over: concave(_log_softplus, _log_softplus_slope, over),
    )


def _log_softplus(t: Tensor) -> Tensor:
    return functional.softplus(t).log()


def _log_softplus_slope(t: Tensor) -> Tensor:
    return t.sigmoid() / functional.softplus(t)
