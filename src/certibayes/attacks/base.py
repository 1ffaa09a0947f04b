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


PreparedObjective = Callable[[Distribution], Tensor]
"""Maps the distribution at the attacked x to the value to maximise, shape (batch,)."""


class Objective(ABC):
    """A quantity that an attack maximises; zero at x' = x for divergences."""

    @abstractmethod
    def prepare(
        self,
        clean: Distribution,
        target: Tensor | None,
        draws: int,
        generator: torch.Generator,
    ) -> PreparedObjective:
        """Fix the clean distribution and the random draws.

        Args:
            clean: q(. | x), batch shape (batch,).
            target: labels, shape (batch,), for objectives that need them.
            draws: draws of theta (posterior objectives).
            generator: source of those draws.
        """


@dataclass(frozen=True)
class AttackResult:
    """What an attack found, all in batch order.

    Attributes:
        x: perturbed observations, shape (batch, x_dim), inside the ball.
        objective: value of the kept candidate on the selection draws, shape (batch,).
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
        target: Tensor | None,
        objective: Objective,
        ball: Ball,
        seed: int,
    ) -> AttackResult:
        """Search the ball around each x for the worst point; the best candidate per item is kept.

        Attacks with the same seed judge candidates on the same selection draws and share their
        noise points (`candidates.noise_points`), so PGD is never below noise on those draws.
        """
