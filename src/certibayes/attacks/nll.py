"""Negative log density of the true theta."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.attacks.base import ConditionalModel
from certibayes.attacks.closed_form import require_posterior
from certibayes.attacks.log_density import THETAS, LogDensity


class NLL(LogDensity):
    """-log q(theta* | x'), theta* the theta that x was simulated from; nats. No draw is used.

    The theta of a real observation is unknown: there one draw from q(. | x) stands for it.
    """

    NAME = "nll"
    VALUES = THETAS
    SIGN = -1

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
