"""The worst case by linear bounds with interval bounds inside ("CROWN-IBP", Zhang et al., 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes import registry
from certibayes.attacks.base import ConditionalModel
from certibayes.bnn.predictive import Predictive
from certibayes.bnn.predictive_linear_bounds import log_likelihood_linear_lower
from certibayes.bounds.graph import Input, Node
from certibayes.bounds.linear import lower_form
from certibayes.config.defenses import RobustLikelihood
from certibayes.defenses.worst_case import Neighborhood
from certibayes.defenses.worst_case_interval import interval_lower
from certibayes.estimators.base import Estimator
from certibayes.estimators.bounded_density import standardized_ball
from certibayes.threat import Ball


def worst_case(
    spec: RobustLikelihood, at: Neighborhood, grown: float, generator: torch.Generator
) -> Tensor:
    """Return the lower bound of log q(target | x') over the ball; see `WorstCase`.

    The linear bound has the weight 1 - (1 - final_linear_weight) * radius share, that of intervals
    the rest: a mean of two lower bounds is one. Of weight 0 neither is computed.
    """
    weight = 1 - (1 - spec.final_linear_weight) * at.radius_share
    if weight == 0:
        return interval_lower(at.model, at.target, at.x, at.ball)
    linear = linear_lower(at.model, at.target, at.x, at.ball)
    if weight == 1:
        return linear
    return weight * linear + (1 - weight) * interval_lower(at.model, at.target, at.x, at.ball)


def linear_lower(model: ConditionalModel, target: Tensor, x: Tensor, ball: Ball) -> Tensor:
    """Return a lower bound of log q(target | x') over the ball around each x, shape (batch,).

    One backward pass of linear bounds through the log density; where intervals through the same
    graph are better, those.

    Raises:
        TypeError: if the model is neither an Estimator nor a Predictive.
    """
    if isinstance(model, Predictive):
        return log_likelihood_linear_lower(model, target, x, ball)
    if not isinstance(model, Estimator):
        raise TypeError(f"model: got {type(model).__name__}; allowed: Estimator, Predictive")
    graph = registry.load("log_density_graph", model.kind)
    region = standardized_ball(model, x, ball)
    node: Node = graph(model, target, Input(region, tightening=False))
    lower = node.interval.lower
    return torch.maximum(lower, lower_form(node, torch.ones_like(lower)).minimum())
