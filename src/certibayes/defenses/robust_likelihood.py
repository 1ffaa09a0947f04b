"""Robust likelihood: the worst case over a ball by interval bounds (Wicker et al., 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes import registry
from certibayes.attacks.base import ConditionalModel
from certibayes.bnn.predictive import Predictive
from certibayes.bnn.predictive_bounds import log_likelihood_lower
from certibayes.config.defenses import RobustLikelihood as RobustLikelihoodSpec
from certibayes.defenses.ball_defense import BallDefense
from certibayes.defenses.mixing import mix
from certibayes.estimators.base import Estimator
from certibayes.networks.initialization import interval_initialization
from certibayes.threat import Ball, Scale


class RobustLikelihood(BallDefense[RobustLikelihoodSpec]):
    """objective = mix(log q(target | x), lower bound of log q(target | x') over the ball).

    The radius grows linearly from 0 to the ball's over the first `ramp_fraction` of training.
    """

    def __init__(
        self, spec: RobustLikelihoodSpec, scale: Scale, clip: tuple[float, float] | None
    ) -> None:
        super().__init__(spec, scale, clip)
        self.ramp_fraction = spec.ramp_fraction

    def objective_inside(
        self,
        model: ConditionalModel,
        target: Tensor,
        x: Tensor,
        progress: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the mixed log-likelihood, shape (batch,).

        Raises:
            TypeError: if the model is neither an Estimator nor a Predictive.
        """
        ramp = min(1.0, progress / self.ramp_fraction) if self.ramp_fraction > 0 else 1.0
        clean = model(x).log_prob(target)
        worst = worst_log_likelihood(model, target, x, self.ball.scaled(ramp).to(x))
        return mix(clean, worst, self.spec.clean_weight, self.spec.mixing)

    def initialize(self, model: torch.nn.Module, generator: torch.Generator) -> None:
        """Draw the weights for interval bounds if `initialization` is "interval"."""
        if self.spec.initialization == "interval":
            interval_initialization(model, generator)


def worst_log_likelihood(model: ConditionalModel, target: Tensor, x: Tensor, ball: Ball) -> Tensor:
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
