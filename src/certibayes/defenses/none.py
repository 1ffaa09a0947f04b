"""No defense: maximum likelihood."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.attacks.base import ConditionalModel
from certibayes.config.defenses import NoDefense as NoDefenseSpec
from certibayes.defenses.base import Defense
from certibayes.threat import Scale


class NoDefense(Defense):
    """objective = log q(target | x)."""

    def __init__(self, spec: NoDefenseSpec, scale: Scale, clip: tuple[float, float] | None) -> None:
        self.spec = spec

    def objective(
        self,
        model: ConditionalModel,
        target: Tensor,
        x: Tensor,
        progress: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the log-likelihood, shape (batch,)."""
        return model(x).log_prob(target)
