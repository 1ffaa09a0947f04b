"""TRADES: likelihood at x, divergence to the worst x' (Zhang et al., 2019)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from certibayes.attacks.base import ConditionalModel
from certibayes.config.defenses import Trades as TradesSpec
from certibayes.defenses.base import Defense
from certibayes.defenses.divergence import differentiable_kl, rise_of_forward_kl
from certibayes.defenses.frozen import frozen_statistics
from certibayes.defenses.inner_maximum import inner_maximum
from certibayes.threat import Scale, ThreatModel


class Trades(Defense):
    """objective = log q(target | x) - beta * KL.

    forward: KL(q(. | x) || q(. | x')), expectation over theta ~ q(. | x); reverse:
    KL(q(. | x') || q(. | x)), over theta ~ q(. | x'). x' maximizes the divergence of
    `search_direction` over the ball, approximately, at the current weights and with fresh draws in
    every step. Gradients of the penalty pass through both distributions and the draws, not
    through x'.
    """

    def __init__(self, spec: TradesSpec, scale: Scale, clip: tuple[float, float] | None) -> None:
        self.spec = spec
        at = spec.perturbation
        self.ball = ThreatModel(at.norm, at.epsilon, at.unit, clip).ball(scale)

    def objective(
        self,
        model: ConditionalModel,
        target: Tensor,
        x: Tensor,
        progress: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the penalized log-likelihood, shape (batch,).

        Raises:
            ValueError: if an x lies outside the clip range.
            TypeError: if the divergence has neither a closed form nor draws.
        """
        spec = self.spec
        self.ball.require_inside_clip(x)
        clean = model(x)
        likelihood = clean.log_prob(target)
        if spec.beta == 0:
            return likelihood
        with frozen_statistics(model), torch.no_grad():
            fixed = model(x)
        forward = (spec.search_direction or spec.direction) == "forward"
        rises = rise_of_forward_kl if forward else _reverse_kl
        attacked = inner_maximum(
            model,
            x,
            lambda q: rises(fixed, q, spec.draws, generator),
            self.ball,
            spec.steps,
            spec.step_size,
            generator,
        )
        penalty = differentiable_kl if spec.direction == "forward" else _reverse_kl
        divergence = penalty(clean, model(attacked), spec.draws, generator)
        return likelihood - spec.beta * divergence


def _reverse_kl(
    clean: Distribution, attacked: Distribution, draws: int, generator: torch.Generator
) -> Tensor:
    return differentiable_kl(attacked, clean, draws, generator)
