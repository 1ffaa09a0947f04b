"""A masked autoregressive flow's log density as a graph of nodes, for linear bounds in x'."""

from __future__ import annotations

from torch import Tensor

from certibayes.bounds.graph import Input, Node
from certibayes.bounds.nodes import Product, Rearranged, Scaled, Sum
from certibayes.estimators.density_nodes import (
    affine_node,
    embedded,
    log_scale_node,
    normal_log_density_node,
    scale_node,
)
from certibayes.estimators.made import MADEWeights
from certibayes.estimators.made_hidden import context_node, hidden_node
from certibayes.estimators.maf import MAFEstimator


def log_density_graph(estimator: MAFEstimator, theta: Tensor, standardized: Input) -> Node:
    """Return log q(theta | x') as a function of the standardised x'.

    theta is fixed: the first transform's input is a constant; each further one is a node.

    Args:
        estimator: the flow.
        theta: raw, inside the support, shape (*, batch, theta_dim).
        standardized: the perturbed input, shape (batch, x_dim).

    Returns:
        A node with values of shape (*, batch).
    """
    v, log_det = estimator.theta_map.to_v(theta)
    first, *further = estimator.made_weights()
    conditions = embedded(estimator, standardized)
    raw, shift = _outputs(first, context_node(first, conditions, standardized), v)
    log_scales = [log_scale_node(raw)]
    u: Node = Sum(Scaled(scale_node(raw), v), shift)
    for weights in further:
        u = Rearranged(u, u.region.reshape(_flip), _flip, 1)
        raw, shift = _outputs(weights, context_node(weights, conditions, standardized), u)
        log_scales.append(log_scale_node(raw))
        u = Sum(Product(scale_node(raw), u), shift)
    return normal_log_density_node(u, *log_scales, constant=log_det)


def _outputs(weights: MADEWeights, context: Node, u: Node | Tensor) -> tuple[Node, Node]:
    """Return unconstrained scales and shifts of one transform, shape (*, batch, theta_dim)."""
    hidden = hidden_node(weights, context, u)
    return affine_node(hidden, *weights.scale), affine_node(hidden, *weights.shift)


def _flip(t: Tensor) -> Tensor:
    return t.flip(-1)
