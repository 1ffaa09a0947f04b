"""What every worst case of a robust likelihood is given, and how strengths grow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution

from certibayes.attacks.base import ConditionalModel
from certibayes.config.defenses import RobustLikelihood
from certibayes.threat import Ball


@dataclass(frozen=True)
class Neighborhood:
    """A batch of pairs and the balls around its observations.

    Attributes:
        model: q(. | x) at the current weights.
        target: theta, shape (batch, theta_dim), or labels, shape (batch,).
        x: raw observations inside the clip range, shape (batch, x_dim).
        ball: admissible perturbations at the present radius, raw units, dtype of x.
        radius_share: how far the radius has grown, in [0, 1].
    """

    model: ConditionalModel
    target: Tensor
    x: Tensor
    ball: Ball
    radius_share: float = 1.0

    @cached_property
    def q(self) -> Distribution:
        """The distributions at x, batch shape (batch,); one pass serves all who ask."""
        return self.model(self.x)

    @cached_property
    def clean(self) -> Tensor:
        """The log-likelihoods at x, log q(target | x), shape (batch,)."""
        log: Tensor = self.q.log_prob(self.target)
        return log

    def scaled(self, factor: float) -> Neighborhood:
        """Return the same pairs with the radius multiplied by a factor >= 0."""
        return self if factor == 1 else replace(self, ball=self.ball.scaled(factor))


class WorstCase(Protocol):
    """One way of bounding the worst case over a ball; registered by the name of its `bounds`."""

    def __call__(
        self, spec: RobustLikelihood, at: Neighborhood, grown: float, generator: torch.Generator
    ) -> Tensor:
        """Return the worst case, shape (batch,), differentiable; log q(target | x) at radius 0.

        Args:
            spec: hyper-parameters.
            at: pairs and balls.
            grown: how far the weight of the bound has grown, in [0, 1].
            generator: source of any draws.

        Raises:
            TypeError: if the model has no such bound.
        """
        ...


def ramp(progress: float, fraction: float, start: float = 0.0) -> float:
    """Return (progress - start) / (fraction - start) within [0, 1]; 1 if the fraction is 0.

    Args:
        progress: share of training done, in [0, 1].
        fraction: share of training after which something has grown from 0 to 1.
        start: share of training over which it stays 0, below the fraction or 0.
    """
    if fraction <= start:
        return 1.0
    return min(1.0, max(0.0, (progress - start) / (fraction - start)))
