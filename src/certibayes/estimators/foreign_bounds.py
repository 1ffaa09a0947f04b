"""Interval bounds of the log density of estimators around networks trained elsewhere."""

from __future__ import annotations

from torch import Tensor

from certibayes import registry
from certibayes.bounds import Interval
from certibayes.bounds.graph import Input, Node
from certibayes.estimators.bounded_density import standardized_ball
from certibayes.estimators.foreign import ForeignEstimator
from certibayes.threat import Ball


def log_density_bounds(
    estimator: ForeignEstimator, theta: Tensor, x: Tensor, ball: Ball
) -> Interval:
    """Return bounds of log q(theta | x') over all x' in the ball around each x.

    The intervals that the graph of the log density is built with; exact at radius 0.

    Args:
        estimator: around the network.
        theta: shape (*, batch, theta_dim).
        x: raw, shape (batch, x_dim).
        ball: radius in raw units of x.

    Returns:
        Bounds of shape (*, batch).

    Raises:
        TypeError: if a module has no bound; the message names it.
    """
    graph = registry.load("log_density_graph", estimator.kind)
    node: Node = graph(estimator, theta, Input(standardized_ball(estimator, x, ball), False))
    return node.interval
