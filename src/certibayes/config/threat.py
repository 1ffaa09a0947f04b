"""Threat models as a study file states them."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from certibayes.config.base import NonNegative, Spec


class Perturbation(Spec):
    """Norm and unit of a ball; the clip range comes from the task."""

    norm: Literal["l2", "linf"]
    unit: Literal["raw", "feature_std", "within_std"]


class PerturbationAt(Perturbation):
    """One ball: norm, unit and radius."""

    epsilon: NonNegative


class PerturbationGrid(Perturbation):
    """Balls of growing radius; epsilons are finite, >= 0 and strictly increasing."""

    epsilons: tuple[NonNegative, ...]

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
        return PerturbationAt(norm=self.norm, unit=self.unit, epsilon=epsilon)
