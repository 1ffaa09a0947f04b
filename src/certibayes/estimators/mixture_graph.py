"""A mixture's log density as a graph of nodes, for linear bounds in x'."""

from __future__ import annotations

from torch import Tensor

from certibayes.bounds.graph import Input, Node
from certibayes.bounds.log_sum_exp import log_sum_exp_node
from certibayes.bounds.nodes import Scaled, Shifted, Sum, Total
from certibayes.estimators.density_nodes import affine_node, hidden_layer
from certibayes.estimators.gaussian_graph import head_log_density_node
from certibayes.estimators.mixture import MixtureEstimator


def log_density_graph(estimator: MixtureEstimator, theta: Tensor, standardized: Input) -> Node:
    """Return log q(theta | x') as a function of the standardised x'.

    With logits z_k and log densities l_k of the components,
    log q = log sum_k exp(z_k + l_k) - log sum_k exp(z_k).

    Args:
        estimator: the mixture.
        theta: raw, inside the support, shape (*, batch, theta_dim).
        standardized: the perturbed input, shape (batch, x_dim).

    Returns:
        A node with values of shape (*, batch).
    """
    v, log_det = estimator.theta_map.to_v(theta)
    hidden = hidden_layer(estimator, estimator.trunk, standardized)
    weight, bias = estimator.logit_layer()
    rows = zip(weight.split(1), bias.split(1), strict=True)
    logits = [Total(affine_node(hidden, *row)) for row in rows]
    joint = [
        Sum(head_log_density_node(head, hidden, v), logit)
        for head, logit in zip(estimator.gaussian_heads(), logits, strict=True)
    ]
    normalizer = Scaled(log_sum_exp_node(logits), -bias.new_ones(()))
    return Shifted(Sum(log_sum_exp_node(joint), normalizer), log_det)
