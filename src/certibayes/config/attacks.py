"""Attacks and their objectives."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from certibayes.config.base import Count, Positive, PositiveInt, Spec
from certibayes.config.tasks import Form
from certibayes.config.threat import PerturbationGrid

ObjectiveName = Literal["forward_kl", "reverse_kl", "expected_loss"]
FORM_OF_OBJECTIVE: dict[ObjectiveName, Form] = {
    "forward_kl": "posterior",
    "reverse_kl": "posterior",
    "expected_loss": "classification",
}


class Attack(Spec):
    """What every attack states: what it maximises, where, and how many draws judge a candidate."""

    kind: str
    objective: ObjectiveName
    perturbation: PerturbationGrid
    points: PositiveInt = 8
    """Uniform points of the ball that are candidates."""
    selection_draws: PositiveInt = 64
    """Draws of theta that choose the kept candidate (posterior objectives)."""


class Noise(Attack):
    """The worst of `points` uniform points of the ball."""

    kind: Literal["noise"] = "noise"


class PGD(Attack):
    """Projected gradient ascent with restarts; candidates include x and the noise points."""

    kind: Literal["pgd"] = "pgd"
    steps: PositiveInt = 50
    restarts: PositiveInt = 2
    step_size: Positive = 2.0
    """First step as a fraction of the radius (2: across the ball, Croce and Hein, 2020); decays to
    `final_step` of it by a cosine."""
    final_step: Positive = 0.02
    gradient_draws: PositiveInt = 8
    """Draws of theta per gradient step, fresh every step."""
    selection_every: Count = 5
    """Steps between judgements of the iterate on the selection draws; 0 = the last iterate only."""


AnyAttack = Annotated[Noise | PGD, Field(discriminator="kind")]
