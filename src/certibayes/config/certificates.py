"""Certificates; the number of draws and the interval method are fixed before any draw."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from certibayes.config.base import AtLeastTwo, Fraction, OpenFraction, Spec
from certibayes.config.tasks import Form
from certibayes.config.threat import BoundedPerturbationGrid


class Certificate(Spec):
    """What every certificate states."""

    form: ClassVar[Form]
    kind: str
    perturbation: BoundedPerturbationGrid


class PosteriorShift(Certificate):
    """TV(q(. | x), q(. | x')) <= tau for every x' in the ball, with stated confidence.

    Attributes:
        bounds: "interval" takes the worst x' for every draw of theta by itself; "crown_ibp" and
            "crown" bound the log density by linear functions of x' and take one worst x' for all
            draws, which is tighter. "crown" bounds intermediate layers linearly too: tighter
            still for models that were not trained for it, and slower. "closed_form" (Gaussians,
            mixtures and ensembles of these) bounds the total variation itself by that of the
            family: deterministic, so that its confidence is 1; only the draws of the comparison
            are taken, and `confidence` is that of a refutation.
    """

    form: ClassVar[Form] = "posterior"
    kind: Literal["posterior_shift"] = "posterior_shift"
    tau: Fraction = 0.2
    draws: AtLeastTwo = 10_000
    confidence: OpenFraction = 0.999
    bounds: Literal["interval", "crown_ibp", "crown", "closed_form"] = "interval"
    interval: Literal["hoeffding", "empirical_bernstein", "betting"] = "empirical_bernstein"
    comparison_draws: AtLeastTwo = 500
    """First draws, stored, on which attacks are compared with the bound; at most `draws`."""

    @property
    def stated_draws(self) -> int:
        """Draws that the upper bound rests on; a closed form needs none."""
        return 0 if self.bounds == "closed_form" else self.draws

    @property
    def stated_interval(self) -> str:
        """Kind of the upper bound."""
        return "deterministic" if self.bounds == "closed_form" else self.interval

    @model_validator(mode="after")
    def _interval_of_bounds(self) -> PosteriorShift:
        if self.bounds in ("crown_ibp", "crown") and self.interval == "betting":
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
