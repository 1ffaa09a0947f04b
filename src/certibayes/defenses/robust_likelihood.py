"""Robust likelihood: the worst case over a ball by bounds (Wicker et al., 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes import registry
from certibayes.attacks.base import ConditionalModel
from certibayes.config.defenses import RobustLikelihood as RobustLikelihoodSpec
from certibayes.defenses.ball_defense import BallDefense
from certibayes.defenses.epsilon_density import averaged, radii
from certibayes.defenses.mixing import mix
from certibayes.defenses.warmup import warmup_penalty
from certibayes.defenses.worst_case import Neighborhood, WorstCase, ramp
from certibayes.estimators.flow import weights_once
from certibayes.networks.initialization import interval_initialization
from certibayes.threat import Scale


class RobustLikelihood(BallDefense[RobustLikelihoodSpec]):
    """objective = mix(log q(target | x), worst case of it over the ball), see `WorstCase`.

    The worst case is averaged over radii where these have a density, see `epsilon_density`: drawn
    afresh while training, fixed at its end, where the objective judges models and `hmc` needs one
    and the same for all steps and blocks. The ball's radius grows linearly from 0 between
    `ramp_start` and `ramp_fraction` of training, the weight of the bound over the first
    `weight_ramp_fraction`. While the radius grows, `warmup_weight` (1 - its share) times the
    `warmup_penalty` is taken off.
    """

    def __init__(
        self, spec: RobustLikelihoodSpec, scale: Scale, clip: tuple[float, float] | None
    ) -> None:
        super().__init__(spec, scale, clip)
        self.ramp_fraction = max(spec.ramp_fraction, spec.weight_ramp_fraction)
        self._worst_case: WorstCase = registry.load("worst_case", spec.bounds)

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
            TypeError: if the model has no such bound.
        """
        spec = self.spec
        radius = ramp(progress, spec.ramp_fraction, spec.ramp_start)
        ball = self.ball.scaled(radius).to(x)
        grown = ramp(progress, spec.weight_ramp_fraction)
        clean_weight = spec.clean_weight
        if spec.bounds != "mixed":
            clean_weight += (1 - clean_weight) * (1 - grown)
        with weights_once(model):
            at = Neighborhood(model, target, x, ball, radius)
            if clean_weight == 1 or radius == 0:
                return at.clean
            source = None if progress == 1 else generator
            factors = radii(spec.epsilon_density, spec.epsilon_draws, source)
            worst = averaged(
                [self._worst_case(spec, at.scaled(factor), grown, generator) for factor in factors],
                spec.mixing,
            )
            if clean_weight > 0:
                worst = mix(at.clean, worst, clean_weight, spec.mixing)
            if spec.warmup_weight == 0 or radius == 1:
                return worst
            return worst - spec.warmup_weight * (1 - radius) * warmup_penalty(model, x, ball)

    def initialize(self, model: torch.nn.Module, generator: torch.Generator) -> None:
        """Draw the weights for interval bounds if `initialization` is "interval"."""
        if self.spec.initialization == "interval":
            interval_initialization(model, generator)
