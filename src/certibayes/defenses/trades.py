"""TRADES: likelihood at x, divergence to the worst x' (Zhang et al., 2019)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution

from certibayes.attacks.base import ConditionalModel
from certibayes.config.defenses import Trades as TradesSpec
from certibayes.defenses.ball_defense import BallDefense
from certibayes.defenses.divergence import differentiable_kl, forward_kl_to_climb
from certibayes.defenses.frozen import frozen_statistics
from certibayes.defenses.inner_maximum import inner_maximum
from certibayes.estimators.flow import weights_once


class Trades(BallDefense[TradesSpec]):
    """objective = log q(target | x) - beta * KL.

    forward: KL(q(. | x) || q(. | x')), expectation over theta ~ q(. | x); reverse:
    KL(q(. | x') || q(. | x)), over theta ~ q(. | x'). x' maximizes the divergence of
    `search_direction` over the ball, approximately, at the current weights and with fresh draws in
    every step. Gradients of the penalty pass through both distributions and the draws, not
    through x'.
    """

    def objective_inside(
        self,
        model: ConditionalModel,
        target: Tensor,
        x: Tensor,
        progress: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the penalized log-likelihood, shape (batch,).

        Raises:
            TypeError: if the divergence has neither a closed form nor draws.
        """
        with weights_once(model):
            return self._penalized(model, target, x, generator)

    def _penalized(
        self, model: ConditionalModel, target: Tensor, x: Tensor, generator: torch.Generator
    ) -> Tensor:
        spec = self.spec
        clean = model(x)
        likelihood = clean.log_prob(target)
        if spec.beta == 0:
            return likelihood
        with frozen_statistics(model), torch.no_grad():
            fixed = model(x)
        attacked = inner_maximum(
            model,
            x,
            self._climbed(fixed, generator),
            self.ball,
            spec.steps,
            spec.step_size,
            generator,
        )
        penalty = differentiable_kl if spec.direction == "forward" else _reverse_kl
        divergence = penalty(clean, model(attacked), spec.draws, generator)
        return likelihood - spec.beta * divergence

    def _climbed(
        self, fixed: Distribution, generator: torch.Generator
    ) -> Callable[[Distribution], Tensor]:
        """Return what the search for x' climbs: the divergence between `fixed` and q(. | x')."""
        spec = self.spec
        if (spec.search_direction or spec.direction) == "forward":
            return forward_kl_to_climb(fixed, spec.draws, spec.steps, generator)
        return lambda q: differentiable_kl(q, fixed, spec.draws, generator)


def _reverse_kl(
    clean: Distribution, attacked: Distribution, draws: int, generator: torch.Generator
) -> Tensor:
    return differentiable_kl(attacked, clean, draws, generator)
