"""An ensemble's log density as a graph of nodes, for linear bounds in x'."""

from __future__ import annotations

import math

from torch import Tensor

from certibayes import registry
from certibayes.bounds.graph import Input, Node
from certibayes.bounds.log_sum_exp import log_sum_exp_node
from certibayes.bounds.nodes import Shifted
from certibayes.estimators.ensemble import EnsembleEstimator


def log_density_graph(estimator: EnsembleEstimator, theta: Tensor, standardized: Input) -> Node:
    """Return log q(theta | x') as a function of the standardised x'.

    log q = log sum_m exp(log q_m) - log n, the members' graphs over one input.

    Args:
        estimator: the ensemble.
        theta: raw, inside the support, shape (*, batch, theta_dim).
        standardized: the perturbed input, shape (batch, x_dim).

    Returns:
        A node with values of shape (*, batch).

    Raises:
        KeyError: if the members' kind has no graph.
    """
    members = estimator.estimators
    graph = registry.load("log_density_graph", members[0].kind)
    total = log_sum_exp_node([graph(member, theta, standardized) for member in members])
    return Shifted(total, theta.new_tensor(-math.log(len(members))))
