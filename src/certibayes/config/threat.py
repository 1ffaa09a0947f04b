"""Threat models as a study file states them."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from certibayes.config.base import Finite, NonNegative, Spec

Unit = Literal["raw", "feature_std", "within_std"]
Clip = Literal["data_range"] | tuple[Finite, Finite]


class Perturbation(Spec):
    """Norm and unit of a ball, and the range of x'.

    Attributes:
        norm: of the perturbation.
        unit: of epsilon.
        clip: range of every feature of x', raw units: [low, high], or "data_range", from the
            smallest to the largest entry of all test observations (Gloeckler et al., 2023); None =
            the task's own range, which a simulator does not have. Narrower than the task's, it
            replaces it. An observation outside is an error.
    """

    norm: Literal["l1", "l2", "linf"]
    unit: Unit
    clip: Clip | None = None

    @field_validator("clip")
    @classmethod
    def _not_empty(cls, clip: Clip | None) -> Clip | None:
        if isinstance(clip, tuple) and not clip[0] < clip[1]:
            raise ValueError(f"got {list(clip)}; allowed: [low, high] with low < high")
        return clip


class PerturbationAt(Perturbation):
    """One ball: norm, unit and radius."""

    epsilon: NonNegative
    """Radius, in `unit`."""


class PerturbationGrid(Perturbation):
    """Balls of growing radius; epsilons are finite, >= 0 and strictly increasing."""

    epsilons: tuple[NonNegative, ...]
    """Radii in `unit`, strictly increasing."""

    @field_validator("epsilons")
    @classmethod
    def _strictly_increasing(cls, epsilons: tuple[float, ...]) -> tuple[float, ...]:
        if not epsilons or list(epsilons) != sorted(set(epsilons)):
            raise ValueError(f"got {list(epsilons)}; allowed: a strictly increasing, filled list")
        return epsilons

    def without_epsilons(self) -> PerturbationGrid:
        """Return the grid without its radii: what decides the result at any one of them."""
        return self.model_copy(update={"epsilons": ()})

    def at(self, epsilon: float) -> PerturbationAt:
        """Return the ball of one radius."""
        return PerturbationAt(norm=self.norm, unit=self.unit, clip=self.clip, epsilon=epsilon)


class BoundedPerturbationAt(PerturbationAt):
    """One ball over which networks can be bounded: no l1 ball."""

    norm: Literal["l2", "linf"]


class BoundedPerturbationGrid(PerturbationGrid):
    """Balls over which networks can be bounded: no l1 balls."""

    norm: Literal["l2", "linf"]
