"""Noisy Adam (Zhang et al., 2018; Khan et al., 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from certibayes.bnn.base import ModelBuilder, PerExample
from certibayes.bnn.natural_gradient import NaturalGradient
from certibayes.bnn.predictive import Predictive
from certibayes.config.inference import NoisyAdamInference


class NoisyAdam(NaturalGradient[NoisyAdamInference]):
    """Natural-gradient steps with the squared gradient of the minibatch as the curvature.

    The gradient of a minibatch of B examples squares to about 1 / B of the mean squared
    per-example gradient: variances are up to B times those of `VOGN`, and the same for B = 1.
    """

    def __init__(
        self, network: nn.Module, spec: NoisyAdamInference, as_model: ModelBuilder = Predictive
    ) -> None:
        """Start at the network's weights with std `initial_std`; the network is then frozen.

        Args:
            network: maps x to logits (or to what `as_model` needs).
            spec: hyper-parameters.
            as_model: makes the conditional model from the network and weight samples.
        """
        super().__init__(network, spec, as_model)

    def _curvature(
        self,
        batch: PerExample,
        objective: Tensor,
        weights: Sequence[Tensor],
        gradient: Sequence[Tensor],
        generator: torch.Generator,
    ) -> list[Tensor]:
        return [g.square() for g in gradient]
