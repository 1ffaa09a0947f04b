"""What an attack and its objective are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution

from certibayes.threat import Ball


class ConditionalModel(Protocol):
    """q(y | x): called with raw x, shape (batch, x_dim), it returns a distribution over y."""

    def __call__(self, x: Tensor) -> Distribution:
        """Return the distribution at x; batch shape (batch,)."""
        ...


Target = Tensor | Distribution | None
"""What an objective aims at, one per observation: labels, thetas, or posteriors; None = nothing."""

PreparedObjective = Callable[[Distribution], Tensor]
"""Maps the distribution at the attacked x to the value to maximise, shape (batch,)."""


class Objective(ABC):
    """A quantity that an attack maximises; zero at x' = x for divergences."""

    def aim(
        self,
        model: ConditionalModel,
        x: Tensor,
        truth: Tensor,
        prior: Tensor,
        generator: torch.Generator,
    ) -> Target:
        """Return what an attack on these x aims at; None for objectives without a target.

        Called once per attack, with all its observations, before the first `prepare`.

        Args:
            model: the attacked model.
            x: observations, shape (batch, x_dim).
            truth: labels, shape (batch,), or true thetas, shape (batch, theta_dim); rows of NaN
                where theta is unknown (real observations).
            prior: thetas of the prior, shape (n, theta_dim), or labels of the population, (n,).
            generator: source of random choices.
        """
        return None

    @abstractmethod
    def prepare(
        self,
        clean: Distribution,
        target: Target,
        draws: int,
        generator: torch.Generator,
    ) -> PreparedObjective:
        """Fix the clean distribution and the random draws.

        Args:
            clean: q(. | x), batch shape (batch,).
            target: what `aim` returned, for objectives that need it.
            draws: draws of theta (posterior objectives).
            generator: source of those draws.
        """

    def prepare_gradient(
        self,
        clean: Distribution,
        target: Target,
        draws: int,
        generator: torch.Generator,
    ) -> PreparedObjective:
        """Return what the published attack ascends on the draws of `prepare`, shape (batch,).

        The plain log ratio of a divergence, without a control variate; its value may lack terms
        that x' does not change and that are dear to compute.

        Args:
            clean: q(. | x), batch shape (batch,).
            target: what `aim` returned, for objectives that need it.
            draws: draws of theta (posterior objectives).
            generator: source of those draws.
        """
        return self.prepare(clean, target, draws, generator)


@dataclass(frozen=True)
class AttackResult:
    """What an attack found, all in batch order.

    Attributes:
        x: perturbed observations, shape (batch, x_dim), inside the ball.
        objective: value of the returned point on the selection draws, shape (batch,).
        steps: gradient steps per observation and restart.
    """

    x: Tensor
    objective: Tensor
    steps: int


class Attack(ABC):
    """Frozen hyper-parameters (`spec`); the call takes model and data."""

    @abstractmethod
    def attack(
        self,
        model: ConditionalModel,
        x: Tensor,
        target: Target,
        objective: Objective,
        ball: Ball,
        seed: int,
    ) -> AttackResult:
        """Search the ball around each x for the worst point.

        Attacks with the same seed judge points on the same selection draws and share their noise
        points (`candidates.noise_points`). All but those that repeat a publication keep the best
        candidate per item, noise points among them: on those draws they are never below noise.

        Args:
            model: the attacked model, without gradients to its weights.
            x: observations, shape (batch, x_dim), raw units.
            target: what the objective's `aim` returned.
            objective: what is maximised.
            ball: the set of allowed x', raw units.
            seed: fixes every draw.
        """
