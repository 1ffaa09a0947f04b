"""What defenses share that look for, draw or bound points of a ball."""

from __future__ import annotations

from abc import abstractmethod
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from certibayes.attacks.base import ConditionalModel
from certibayes.config.threat import PerturbationAt
from certibayes.defenses.base import Defense
from certibayes.threat import Scale, ThreatModel


class SpecOfABall(Protocol):
    """Hyper-parameters that name a ball."""

    @property
    def perturbation(self) -> PerturbationAt:
        """Norm, unit and radius."""
        ...


BallSpec = TypeVar("BallSpec", bound=SpecOfABall)


class BallDefense(Defense, Generic[BallSpec]):
    """A defense against the perturbations of one ball, whose clip range every x must keep.

    Attributes:
        spec: hyper-parameters.
        ball: the ball in raw units.
    """

    def __init__(self, spec: BallSpec, scale: Scale, clip: tuple[float, float] | None) -> None:
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
        """Return the objective per example, shape (batch,); see `Defense.objective`.

        Raises:
            ValueError: if an x lies outside the clip range.
            TypeError: if the model's distribution lacks what the defense needs.
        """
        self.ball.require_inside_clip(x)
        return self.objective_inside(model, target, x, progress, generator)

    @abstractmethod
    def objective_inside(
        self,
        model: ConditionalModel,
        target: Tensor,
        x: Tensor,
        progress: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the objective, shape (batch,), at x inside the clip range."""
