"""Certificates; the number of draws and the interval method are fixed before any draw."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictBool, field_validator, model_validator

from certibayes.config.base import (
    AtLeastTwo,
    Finite,
    Fraction,
    Name,
    OpenFraction,
    Positive,
    PositiveInt,
    Spec,
)
from certibayes.config.tasks import Form
from certibayes.config.threat import BoundedPerturbationGrid


class Certificate(Spec):
    """What every certificate states."""

    form: ClassVar[Form]
    kind: str
    perturbation: BoundedPerturbationGrid
    """Balls about which something is stated; give attacks the same to compare them."""

    @property
    def bounds_grow(self) -> bool:
        """Whether bounds on common draws cannot shrink as the radius grows: those by intervals."""
        return True


class Answers(Spec):
    """Questions about the posterior at every x' of the ball, answered from its certified shift.

    Attributes:
        regions: boxes in theta, name -> parameter -> [low, high]; bounds of their probability.
            Parameters that a box does not name are free.
        means: parameters that the prior bounds on both sides; bounds of their means.
        quantiles: parameter -> levels; bounds of its quantiles.
    """

    regions: dict[Name, dict[str, tuple[Finite, Finite]]] = Field(default_factory=dict)
    means: tuple[str, ...] = ()
    quantiles: dict[str, tuple[OpenFraction, ...]] = Field(default_factory=dict)

    @field_validator("regions")
    @classmethod
    def _boxes(
        cls, regions: dict[str, dict[str, tuple[float, float]]]
    ) -> dict[str, dict[str, tuple[float, float]]]:
        for name, box in regions.items():
            for parameter, (low, high) in box.items():
                if not low < high:
                    raise ValueError(
                        f"{name}.{parameter}: got {[low, high]}; allowed: [low, high] with "
                        "low < high"
                    )
        return regions


class PosteriorShift(Certificate):
    """TV(q(. | x), q(. | x')) <= tau for every x' in the ball, with stated confidence.

    Attributes:
        tau: largest total variation that is tolerated: `certified` is a bound of at most that.
        draws: of theta per observation, which the bound rests on.
        confidence: of every bound that rests on draws.
        interval: method of the confidence bound of a mean in [0, 1], fixed beforehand.
        bounds: "interval" takes the worst x' for every draw of theta by itself; "crown_ibp" and
            "crown" bound the log density by linear functions of x' and take one worst x' for all
            draws, which is tighter. "crown" bounds intermediate layers linearly too: tighter
            still for models that were not trained for it, and slower. "closed_form" (Gaussians,
            mixtures and ensembles of these) bounds the total variation itself by that of the
            family: deterministic, so that its confidence is 1; only the draws of the comparison
            are taken, and `confidence` is that of a refutation.
        route: of "crown_ibp" and "crown", from the planes to the total variation. "direct" bounds
            the integrand (1 - q(theta | x') / q(theta | x))+; "truncated_kl" bounds the divergence
            over a region of theta, and the mass outside; "best" takes the smaller of both, each
            with half of 1 - confidence.
        pilot_draws: of theta per observation, which fix that region and are never reported on.
        simultaneous: whether `confidence` is that of all observations at once (union bound), not
            of each alone.
        radius: whether every observation's largest certified epsilon of the grid is stated, the
            confidence split over the grid.
        answers: what else is answered from the shift; the shift then takes half of 1 - confidence.
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
    route: Literal["direct", "truncated_kl", "best"] = "direct"
    pilot_draws: AtLeastTwo = 1_000
    simultaneous: StrictBool = False
    radius: StrictBool = False
    answers: Answers | None = None

    @property
    def bounds_grow(self) -> bool:
        """Intervals alone: slopes of linear bounds depend on the radius."""
        return self.bounds == "interval"

    def statements(self, observations: int) -> int:
        """Return how many statements, of all observations and radii, hold with `confidence`."""
        radii = len(self.perturbation.epsilons) if self.radius else 1
        return radii * (observations if self.simultaneous else 1)

    @property
    def stated_draws(self) -> int:
        """Draws that the upper bound rests on; a closed form needs none."""
        return 0 if self.bounds == "closed_form" else self.draws

    @property
    def stated_pilot_draws(self) -> int | None:
        """Draws that fix a region and report nothing; None where the route has no region."""
        return None if self.route == "direct" else self.pilot_draws

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
    def _route_of_bounds(self) -> PosteriorShift:
        if self.bounds not in ("crown_ibp", "crown") and self.route != "direct":
            raise ValueError(
                f"route: got {self.route!r}; allowed with bounds {self.bounds!r}: direct"
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
    """The probability of every rival stays below the label's, for the stored ensemble.

    Attributes:
        bounds: "interval" takes the worst x' for every weight sample by itself; "crown_ibp" and
            "crown" bound every sample's margin by a linear function of x' as well, and take one
            worst x' for all samples. "crown" bounds intermediate layers linearly too: tighter
            still for models that were not trained for it, and slower.
        radius: whether every observation's largest certified epsilon of the grid is stated.
    """

    form: ClassVar[Form] = "classification"
    kind: Literal["decision"] = "decision"
    bounds: Literal["interval", "crown_ibp", "crown"] = "interval"
    radius: StrictBool = False

    @property
    def bounds_grow(self) -> bool:
        """Intervals alone: slopes of linear bounds depend on the radius."""
        return self.bounds == "interval"


class PosteriorDecision(Certificate):
    """As `decision`, for the mean over the whole posterior of the weights, with a confidence.

    Attributes:
        draws: fresh weight vectors, held in memory together; fixed before any draw.
        confidence: of each verdict.
        bounds: as for `decision`.
        interval: from the mean over the draws to that over the posterior.
        simultaneous: whether `confidence` is that of all observations at once (union bound).
        radius: whether every observation's largest certified epsilon of the grid is stated, the
            confidence split over the grid.
    """

    form: ClassVar[Form] = "classification"
    kind: Literal["posterior_decision"] = "posterior_decision"
    draws: AtLeastTwo = 500
    confidence: OpenFraction = 0.999
    bounds: Literal["interval", "crown_ibp", "crown"] = "interval"
    interval: Literal["hoeffding", "empirical_bernstein"] = "empirical_bernstein"
    simultaneous: StrictBool = False
    radius: StrictBool = False

    @property
    def bounds_grow(self) -> bool:
        """Of intervals: those of the mean over the draws."""
        return self.bounds == "interval"

    def statements(self, observations: int) -> int:
        """Return how many statements, of all observations and radii, hold with `confidence`."""
        radii = len(self.perturbation.epsilons) if self.radius else 1
        return radii * (observations if self.simultaneous else 1)


class ProbabilisticSafety(Certificate):
    """Weights that some x' of the ball leads away from the label have probability at most tau.

    For small networks: the mass of a box of weights is a product over all of them.

    Attributes:
        tau: largest probability of such weights that is tolerated.
        boxes: of weights, one around the mean of the posterior and the others around the first
            stored weight vectors, disjoint.
        half_widths: of the boxes, in stds of every weight; the one with most safe mass counts.
        draws: fresh weight vectors on which attacks are judged.
    """

    form: ClassVar[Form] = "classification"
    kind: Literal["probabilistic_safety"] = "probabilistic_safety"
    tau: Fraction = 0.05
    boxes: PositiveInt = 17
    half_widths: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1.0, 2.0, 3.0, 4.0, 5.0)
    draws: AtLeastTwo = 200


class LogDensity(Certificate):
    """log q(theta* | x') >= log q(theta* | x) - drop for every x' in the ball; deterministic.

    Attributes:
        drop: nats that the log density may lose.
        bounds: of the log density; as for `posterior_shift`, without a closed form.
        thetas: thetas whose densities are bounded at every real observation, in the order of the
            task's parameters; the test observations have their true thetas.
    """

    form: ClassVar[Form] = "posterior"
    kind: Literal["log_density"] = "log_density"
    drop: Positive = 1.0
    bounds: Literal["interval", "crown_ibp", "crown"] = "interval"
    thetas: tuple[tuple[Finite, ...], ...] = ()

    @property
    def bounds_grow(self) -> bool:
        """Intervals alone: slopes of linear bounds depend on the radius."""
        return self.bounds == "interval"


class Coverage(Certificate):
    """The HPD region of one level of q(. | x') holds the true theta for every x' in the ball.

    Attributes:
        level: credibility of the region.
        draws: of theta per observation, fixed before any draw.
        confidence: of each verdict; half of the rest each for the shift and for the share of
            denser thetas (all of it for the latter where the shift is deterministic).
        bounds: of the shift, as for `posterior_shift`, and of log densities; with "closed_form"
            the latter are those of "crown_ibp".
        interval: of the shift.
        comparison_draws: first draws, stored, on which attacks are compared; at most `draws`.
        simultaneous: whether `confidence` is that of all observations at once (union bound).
        population_confidence: of the two-sided interval, over test pairs, of the certified share.
    """

    form: ClassVar[Form] = "posterior"
    kind: Literal["coverage"] = "coverage"
    level: OpenFraction = 0.9
    draws: AtLeastTwo = 10_000
    confidence: OpenFraction = 0.999
    bounds: Literal["interval", "crown_ibp", "crown", "closed_form"] = "interval"
    interval: Literal["hoeffding", "empirical_bernstein", "betting"] = "empirical_bernstein"
    comparison_draws: AtLeastTwo = 500
    simultaneous: StrictBool = False
    population_confidence: OpenFraction = 0.95

    @property
    def bounds_grow(self) -> bool:
        """Confidence bounds may shrink."""
        return False

    def statements(self, observations: int) -> int:
        """Return how many statements, of all observations, hold together with `confidence`."""
        return observations if self.simultaneous else 1

    @model_validator(mode="after")
    def _of_a_shift(self) -> Coverage:
        PosteriorShift.model_validate(self._shift_fields(self.confidence))
        return self

    def shift(self, confidence: float) -> PosteriorShift:
        """Return the certificate of the shift with a confidence of its own."""
        return PosteriorShift(**self._shift_fields(confidence))

    def _shift_fields(self, confidence: float) -> dict[str, Any]:
        common = ("perturbation", "draws", "bounds", "interval", "comparison_draws")
        return {name: getattr(self, name) for name in common} | {"confidence": confidence}


AnyCertificate = Annotated[
    PosteriorShift | Decision | PosteriorDecision | ProbabilisticSafety | LogDensity | Coverage,
    Field(discriminator="kind"),
]
