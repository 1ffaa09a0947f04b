"""Adversarial training (Madry et al., 2018)."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.attacks.base import ConditionalModel
from certibayes.config.defenses import Adversarial as AdversarialSpec
from certibayes.defenses.ball_defense import BallDefense
from certibayes.defenses.inner_maximum import inner_maximum
from certibayes.defenses.mixing import mix


class Adversarial(BallDefense[AdversarialSpec]):
    """objective = lambda log q(target | x) + (1 - lambda) log q(target | x').

    x' minimizes log q(target | x') over the ball, approximately, at the current weights; gradients
    to the weights do not pass through it (Danskin).
    """

    def objective_inside(
        self,
        model: ConditionalModel,
        target: Tensor,
        x: Tensor,
        progress: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the mixed log-likelihood, shape (batch,)."""
        spec = self.spec
        if spec.clean_weight == 1:
            return model(x).log_prob(target)
        attacked = inner_maximum(
            model,
            x,
            lambda q: -q.log_prob(target),
            self.ball,
            spec.steps,
            spec.step_size,
            generator,
        )
        worst = model(attacked).log_prob(target)
        if spec.clean_weight == 0:
            return worst
        return mix(model(x).log_prob(target), worst, spec.clean_weight, "outside")
