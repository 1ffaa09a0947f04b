"""Empirical Fisher penalty: theta from the simulator instead of the posterior."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.attacks.base import ConditionalModel
from certibayes.config.defenses import Empirical as EmpiricalSpec
from certibayes.defenses.base import Defense
from certibayes.defenses.information import unit_of_features
from certibayes.threat import Scale


class Empirical(Defense):
    """objective = log q(target | x) - beta * ||std * d log q(target | x) / dx||^2.

    The target is the theta that made x, so one pass gives likelihood and penalty and nothing is
    drawn. Its mean is the Fisher information only if q(. | x) is the true posterior.
    """

    def __init__(self, spec: EmpiricalSpec, scale: Scale, clip: tuple[float, float] | None) -> None:
        self.spec = spec
        self._std = unit_of_features(scale, spec.unit)

    def objective(
        self,
        model: ConditionalModel,
        target: Tensor,
        x: Tensor,
        progress: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the penalized log-likelihood, shape (batch,)."""
        if self.spec.beta == 0:
            return model(x).log_prob(target)
        training = torch.is_grad_enabled()
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            log = model(x).log_prob(target)
            (score,) = torch.autograd.grad(log.sum(), x, create_graph=training, retain_graph=True)
            objective = log - self.spec.beta * (self._std.to(x) * score).square().sum(-1)
        return objective if training else objective.detach()
