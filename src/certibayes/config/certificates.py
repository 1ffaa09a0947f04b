"""Certificates; the number of draws and the interval method are fixed before any draw."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from certibayes.config.base import AtLeastTwo, Fraction, OpenFraction, Spec
from certibayes.config.tasks import Form
from certibayes.config.threat import PerturbationGrid


class Certificate(Spec):
    """What every certificate states."""

    form: ClassVar[Form]
    kind: str
    perturbation: PerturbationGrid


class PosteriorShift(Certificate):
    """TV(q(. | x), q(. | x')) <= tau for every x' in the ball, with stated confidence.

    Attributes:
        bounds: "interval" takes the worst x' for every draw of theta by itself; "crown_ibp" and
            "crown" bound the log density by linear functions of x' and take one worst x' for all
            draws, which is tighter. "crown" bounds intermediate layers linearly too: tighter
            still for models that were not trained for it, and slower.
    """

    form: ClassVar[Form] = "posterior"
    kind: Literal["posterior_shift"] = "posterior_shift"
    tau: Fraction = 0.2
    draws: AtLeastTwo = 10_000
    confidence: OpenFraction = 0.999
    bounds: Literal["interval", "crown_ibp", "crown"] = "interval"
    interval: Literal["hoeffding", "empirical_bernstein", "betting"] = "empirical_bernstein"
    comparison_draws: AtLeastTwo = 500
    """First draws, stored, on which attacks are compared with the bound; at most `draws`."""

    @model_validator(mode="after")
    def _interval_of_bounds(self) -> PosteriorShift:
        if self.bounds != "interval" and self.interval == "betting":
            raise ValueError(
                f"interval: got 'betting'; allowed with bounds {self.bounds!r}: hoeffding, "
                "empirical_bernstein"
            )
        return self

    @model_validator(mode="after")
    def _draws_to_compare(self) -> PosteriorShift:
        if self.comparison_draws > self.draws:
            raise ValueError(
                f"comparison_draws: got {self.comparison_draws}; "
                f"allowed: 2 to {self.draws}, the value of draws"
            )
        return self


class Decision(Certificate):
    """Lower bound of p_y above the upper bound of every rival, for the stored ensemble."""

    form: ClassVar[Form] = "classification"
    kind: Literal["decision"] = "decision"


AnyCertificate = Annotated[PosteriorShift | Decision, Field(discriminator="kind")]
