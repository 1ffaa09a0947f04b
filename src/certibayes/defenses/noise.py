"""Noise augmentation: likelihood at a random point of the ball."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.attacks.base import ConditionalModel
from certibayes.config.defenses import NoiseAugmentation as NoiseSpec
from certibayes.defenses.ball_defense import BallDefense


class NoiseAugmentation(BallDefense[NoiseSpec]):
    """objective = log q(target | x'), x' uniform in the ball around x, clamped to the clip range.

    A fresh point at every call.
    """

    def objective_inside(
        self,
        model: ConditionalModel,
        target: Tensor,
        x: Tensor,
        progress: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the log-likelihood at the noisy x, shape (batch,)."""
        return model(self.ball.to(x).sample(x, generator)).log_prob(target)
