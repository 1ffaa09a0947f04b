"""A neural spline flow's log density as a graph of nodes, for linear bounds in x'."""

from __future__ import annotations

from torch import Tensor

from certibayes.bounds.affine import affine
from certibayes.bounds.graph import Input, Node
from certibayes.bounds.nodes import Affine, Product, Rearranged, Scaled, Sum
from certibayes.estimators.density_nodes import (
    affine_node,
    embedded,
    log_scale_node,
    normal_log_density_node,
    scale_node,
)
from certibayes.estimators.made import MADEWeights
from certibayes.estimators.made_hidden import context_node, hidden_node
from certibayes.estimators.nsf import NSFEstimator
from certibayes.estimators.rational_quadratic import SplineShape
from certibayes.estimators.rational_quadratic_nodes import spline_nodes


def log_density_graph(estimator: NSFEstimator, theta: Tensor, standardized: Input) -> Node:
    """Return log q(theta | x') as a function of the standardized x'.

    theta is fixed: the first transform's input is a constant; each further one is a node. Over
    large balls the worst value of a linear bound may lie below the interval of the node: who bounds
    one theta takes the better of both, who bounds a mean over thetas decides by that mean.

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
    context = context_node(first, conditions, standardized)
    z, *log_slopes = _transformed(first, context, v, estimator.shape)
    for weights in further:
        u = Rearranged(z, z.region.reshape(_flip), _flip, 1)
        context = context_node(weights, conditions, standardized)
        z, *more = _transformed(weights, context, u, estimator.shape)
        log_slopes += more
    return normal_log_density_node(z, *log_slopes, constant=log_det)


def _transformed(
    weights: MADEWeights, context: Node, u: Node | Tensor, shape: SplineShape
) -> tuple[Node, Node, Node]:
    """Return one transform's z, log dz_i / dw_i and log s_i, values of shape (*, batch, d)."""
    hidden = hidden_node(weights, context, u)
    raw, shift = affine_node(hidden, *weights.scale), affine_node(hidden, *weights.shift)
    scale = scale_node(raw)
    scaled = Scaled(scale, u) if isinstance(u, Tensor) else Product(scale, u)
    z, log_slope = spline_nodes(Sum(scaled, shift), _numbers(hidden, weights), shape)
    return z, log_slope, log_scale_node(raw)


def _numbers(hidden: Node, weights: MADEWeights) -> Affine:
    """Return the splines' unconstrained numbers, values of shape (*, batch, d, numbers)."""
    weight, bias = weights.splines
    flat = weight.flatten(0, 1)
    region = affine(hidden.region, flat, bias.flatten())
    region = region.reshape(lambda t: t.unflatten(-1, bias.shape))
    return Affine(hidden, region, lambda a: a.flatten(-2) @ flat, bias, 2)


def _flip(t: Tensor) -> Tensor:
    return t.flip(-1)
