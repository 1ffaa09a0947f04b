"""The worst case by interval bounds (Gowal et al., 2018; Wicker et al., 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes import registry
from certibayes.attacks.base import ConditionalModel
from certibayes.bnn.predictive import Predictive
from certibayes.bnn.predictive_bounds import log_likelihood_lower
from certibayes.config.defenses import RobustLikelihood
from certibayes.defenses.worst_case import Neighborhood
from certibayes.estimators.base import Estimator
from certibayes.threat import Ball


def worst_case(
    spec: RobustLikelihood, at: Neighborhood, grown: float, generator: torch.Generator
) -> Tensor:
    """Return the lower bound of log q(target | x') over the ball; see `WorstCase`."""
    return interval_lower(at.model, at.target, at.x, at.ball)


def interval_lower(model: ConditionalModel, target: Tensor, x: Tensor, ball: Ball) -> Tensor:
    """Return a lower bound of log q(target | x') over the ball around each x, shape (batch,).

    Raises:
        TypeError: if the model is neither an Estimator nor a Predictive.
    """
    if isinstance(model, Predictive):
        return log_likelihood_lower(model, target, x, ball)
    if isinstance(model, Estimator):
        bounds = registry.load("estimator_bounds", model.kind)
        lower: Tensor = bounds(model, target, x, ball).lower
        return lower
    raise TypeError(f"model: got {type(model).__name__}; allowed: Estimator, Predictive")
