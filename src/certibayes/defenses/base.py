"""What a defense is: a per-example training objective."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from certibayes.attacks.base import ConditionalModel


class Defense(ABC):
    """Hyper-parameters and the task's units; equals the log-likelihood at weight 0.

    Attributes:
        ramp_fraction: share of training after which the objective no longer changes.
    """

    ramp_fraction: float = 0.0

    @abstractmethod
    def objective(
        self,
        model: ConditionalModel,
        target: Tensor,
        x: Tensor,
        progress: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the objective to maximise per example, shape (batch,), without prior term.

        Args:
            model: q(. | x) at the current weights.
            target: theta, shape (batch, theta_dim), or labels, shape (batch,).
            x: raw observations, shape (batch, x_dim).
            progress: share of training done, in [0, 1]; ramps depend on it alone.
            generator: source of any draws.
        """

    def initialize(self, model: torch.nn.Module, generator: torch.Generator) -> None:  # noqa: B027
        """Set initial weights in place where the defense has an initialization of its own.

        Args:
            model: the network or estimator, before its weights are inferred.
            generator: source of the weights.
        """
