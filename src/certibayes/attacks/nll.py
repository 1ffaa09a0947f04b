"""Negative log density of the true theta."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from certibayes.attacks.base import ConditionalModel, Objective, PreparedObjective, Target
from certibayes.attacks.closed_form import require_posterior
from certibayes.attacks.targets import require_values


class NLL(Objective):
    """-log q(theta* | x'), theta* the theta that x was simulated from; nats. No draw is used.

    The theta of a real observation is unknown: there one draw from q(. | x) stands for it.
    """

    def aim(
        self,
        model: ConditionalModel,
        x: Tensor,
        truth: Tensor,
        prior: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the true thetas, shape (batch, theta_dim); see `Objective.aim`.

        Raises:
            TypeError: if one is unknown and the model returns no Posterior.
        """
        unknown = truth.isnan().any(-1)
        if not bool(unknown.any()):
            return truth
        with torch.no_grad():
            drawn = require_posterior(model(x)).draw(1, generator)[0]
        return torch.where(unknown.unsqueeze(-1), drawn, truth)

    def prepare(
        self,
        clean: Distribution,
        target: Target,
        draws: int,
        generator: torch.Generator,
    ) -> PreparedObjective:
        """Fix the thetas; see `Objective.prepare`.

        Raises:
            ValueError: if the target holds no values.
        """
        theta = require_values(target, "nll", "thetas, shape (batch, theta_dim)")
        return lambda attacked: -attacked.log_prob(theta)
