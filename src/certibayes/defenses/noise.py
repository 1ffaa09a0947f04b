"""Noise augmentation: likelihood at a random point of the ball."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.attacks.base import ConditionalModel
from certibayes.config.defenses import NoiseAugmentation as NoiseSpec
from certibayes.defenses.base import Defense
from certibayes.threat import Scale, ThreatModel


class NoiseAugmentation(Defense):
    """objective = log q(target | x'), x' uniform in the ball around x, clamped to the clip range.

    A fresh point at every call.
    """

    def __init__(self, spec: NoiseSpec, scale: Scale, clip: tuple[float, float] | None) -> None:
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
        """Return the log-likelihood at the noisy x, shape (batch,).

        Raises:
            ValueError: if an x lies outside the clip range.
        """
        self.ball.require_inside_clip(x)
        return model(self.ball.to(x).sample(x, generator)).log_prob(target)
