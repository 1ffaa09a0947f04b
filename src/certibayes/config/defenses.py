"""Defenses: each is a training objective; `warm_start` states where its training begins."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StrictBool, model_validator

from certibayes.config.base import Fraction, NonNegative, Positive, PositiveInt, Spec
from certibayes.config.models import Training
from certibayes.config.presets import PresetSpec
from certibayes.config.threat import BoundedPerturbationAt, PerturbationAt, Unit

TraceName = Literal["exact", "score", "directional", "top_eigenvalue"]
DrawGradient = Literal["none", "score_function", "reparametrized"]
Direction = Literal["forward", "reverse"]
WorstCaseBounds = Literal["interval", "crown_ibp", "attack", "mixed", "shared_adversary"]
EpsilonDensity = Literal["two_atom", "exponential", "rayleigh"]
READ_WITH: dict[str, tuple[WorstCaseBounds, ...]] = {
    "bound_weight": ("mixed",),
    "final_linear_weight": ("crown_ibp",),
    "steps": ("attack", "mixed"),
    "step_size": ("attack", "mixed"),
    "beta": ("shared_adversary",),
    "draws": ("shared_adversary",),
}
"""Keys of `robust_likelihood` that not every way of bounding reads."""
EXACT_INFORMATION = ("gaussian",)
"""Estimators whose Fisher information has a closed form."""
FEWEST_SCORES = 4
"""Draws that a largest eigenvalue needs."""


class NoDefense(Spec):
    """Plain log-likelihood: what the `train` stage uses."""

    kind: Literal["none"] = "none"


class Fisher(PresetSpec):
    """Penalty on the information about x, theta ~ q(. | x) (Gloeckler et al., 2023).

    The objective is log q(target | x) - beta * (trace or largest eigenvalue of I(x)).

    Attributes:
        beta: weight of the penalty.
        unit: of x, as for perturbations: "feature_std" weighs all features alike, "within_std" and
            "raw" (published) all directions of x, as an l2 adversary does.
        trace: how the information is measured. "score": mean squared score over draws; "exact":
            closed form (classifiers, and the estimators of `EXACT_INFORMATION`); "directional":
            finite difference along random directions, no second derivative; "top_eigenvalue":
            the largest eigenvalue of the information over draws in place of its trace.
        draws: draws of theta; of directions, for a classifier with "directional".
        draw_gradient: how gradients know that draws follow the weights. "none": not at all;
            "score_function": by the likelihood ratio, with the other draws as a baseline;
            "reparametrized": through the draws, as published.
        every: a step is penalized with probability 1 / every, then by every * beta.
        share: part of a batch, drawn at random, that is penalized, by beta / share.
        warm_start: begin at the trained model.
        training: a schedule of its own; None = the model's.
    """

    SECTION: ClassVar[str] = "defenses.fisher"
    kind: Literal["fisher"] = "fisher"
    beta: NonNegative
    unit: Unit = "feature_std"
    trace: TraceName = "score"
    draws: PositiveInt = 1
    draw_gradient: DrawGradient = "none"
    every: PositiveInt = 1
    share: Annotated[float, Field(strict=True, gt=0, le=1)] = 1.0
    warm_start: StrictBool = True
    training: Training | None = None

    @model_validator(mode="after")
    def _draws_fit_the_trace(self) -> Fisher:
        if self.trace == "top_eigenvalue" and self.draws < FEWEST_SCORES:
            raise ValueError(
                f"draws: got {self.draws} with trace: top_eigenvalue; "
                f"allowed: at least {FEWEST_SCORES}, the matrix has the rank of its draws"
            )
        if self.trace == "exact" and (self.draws != 1 or self.draw_gradient != "none"):
            raise ValueError(
                f"draws, draw_gradient: got {self.draws}, {self.draw_gradient!r} with trace: exact;"
                " allowed: neither, nothing is drawn"
            )
        return self


class Empirical(Spec):
    """Penalty beta * squared score at the simulator's theta: the empirical Fisher information.

    Not the information of q: theta comes from the training pair, nothing is drawn.

    Attributes:
        beta: weight of the penalty.
        unit: of x, as for `fisher`.
        warm_start: begin at the trained model.
        training: a schedule of its own; None = the model's.
    """

    kind: Literal["empirical"] = "empirical"
    beta: NonNegative
    unit: Unit = "feature_std"
    warm_start: StrictBool = True
    training: Training | None = None


class Adversarial(PresetSpec):
    """Log-likelihood at the worst x' that projected steps find (Madry et al., 2018).

    Attributes:
        perturbation: the ball.
        steps: projected steps from a uniform start; the last iterate counts.
        step_size: of a step, as a fraction of the radius.
        clean_weight: lambda of lambda log q(target | x) + (1 - lambda) log q(target | x').
        warm_start: begin at the trained model.
        training: a schedule of its own; None = the model's.
    """

    SECTION: ClassVar[str] = "defenses.adversarial"
    kind: Literal["adversarial"] = "adversarial"
    perturbation: PerturbationAt
    steps: PositiveInt = 20
    step_size: Positive = 0.1
    clean_weight: Fraction = 0.0
    warm_start: StrictBool = False
    training: Training | None = None


class Trades(PresetSpec):
    """Log-likelihood minus beta * KL between clean and attacked (Zhang et al., 2019).

    Attributes:
        perturbation: the ball.
        beta: weight of the divergence.
        direction: "forward": KL(q(. | x) || q(. | x')), "reverse": KL(q(. | x') || q(. | x)).
        search_direction: the divergence that x' maximizes; None = `direction`. The published form
            searches in reverse and penalizes forward.
        draws: of theta, fresh for every step and for the penalty; unused in closed form.
        steps: projected steps from a uniform start; the last iterate counts.
        step_size: of a step, as a fraction of the radius.
        warm_start: begin at the trained model.
        training: a schedule of its own; None = the model's.
    """

    SECTION: ClassVar[str] = "defenses.trades"
    kind: Literal["trades"] = "trades"
    perturbation: PerturbationAt
    beta: NonNegative = 0.1
    direction: Direction = "forward"
    search_direction: Direction | None = None
    draws: PositiveInt = 1
    steps: PositiveInt = 20
    step_size: Positive = 0.1
    warm_start: StrictBool = False
    training: Training | None = None


class NoiseAugmentation(PresetSpec):
    """Log-likelihood at a uniform point of the ball around x.

    Attributes:
        perturbation: the ball.
        warm_start: begin at the trained model.
        training: a schedule of its own; None = the model's.
    """

    SECTION: ClassVar[str] = "defenses.noise"
    kind: Literal["noise"] = "noise"
    perturbation: PerturbationAt
    warm_start: StrictBool = False
    training: Training | None = None


class RobustLikelihood(PresetSpec):
    """Worst-case log-likelihood over a ball, by bounds of the network (Wicker et al., 2021).

    Attributes:
        perturbation: the ball at full radius.
        bounds: of the worst case. "interval": log q(target | x') by intervals; "crown_ibp": by
            linear bounds around them (Zhang et al., 2020), tighter; "attack": what an attack finds,
            never below the worst case; "mixed": by intervals, mixed with that (De Palma et al.,
            2024); "shared_adversary": log q(target | x) minus
            `beta` times a linear bound of KL(q(. | x) || q(. | x')) with one x' for all draws of
            theta, as certificates take it (estimators of theta only).
        clean_weight: lambda, the share of the clean likelihood.
        mixing: "inside": log(lambda q + (1 - lambda) q_worst), the published form, whose gradient
            vanishes at -log lambda; "outside": lambda log q + (1 - lambda) log q_worst.
        epsilon_density: of the radius that the attacked share, 1 - lambda, has: "two_atom": the
            ball's epsilon; "exponential": with mean epsilon; "rayleigh": with scale epsilon. Worst
            cases are averaged where they are mixed: inside or outside the log.
        epsilon_draws: radii per step that stand for a density, fresh in every step.
        ramp_fraction: share of training after which the radius has grown linearly from 0.
        ramp_start: share of training over which it stays 0.
        warmup_weight: of the regularizers of the warm-up (Shi et al., 2021; classifiers only),
            times what the radius lacks, while it grows.
        weight_ramp_fraction: share of training over which the weight of the bound grows linearly
            from 0; the clean likelihood, with "mixed" the attacked one, has what it lacks.
        bound_weight: with "mixed", the share of the bound in the worst case; an attack has the
            rest.
        final_linear_weight: with "crown_ibp", the share of linear bounds in the worst case at the
            full radius; it falls linearly from 1 while the radius grows, intervals have the rest
            (Zhang et al., 2020). 0 ends with intervals alone, at their cost.
        steps: of the attack, from a uniform start; the last iterate counts.
        step_size: of a step, as a fraction of the radius; 2 reaches the border from every start.
        beta: with "shared_adversary", weight of the divergence in the worst case.
        draws: of theta, fresh in every step, with "shared_adversary".
        warm_start: begin at the trained model.
        initialization: of the weights; "interval": suited to interval bounds, fresh weights only.
        training: a schedule of its own; None = the model's.
    """

    SECTION: ClassVar[str] = "defenses.robust_likelihood"
    kind: Literal["robust_likelihood"] = "robust_likelihood"
    perturbation: BoundedPerturbationAt
    bounds: WorstCaseBounds = "interval"
    clean_weight: Fraction = 0.5
    mixing: Literal["inside", "outside"] = "outside"
    epsilon_density: EpsilonDensity = "two_atom"
    epsilon_draws: PositiveInt = 2
    ramp_fraction: Fraction = 0.5
    ramp_start: Fraction = 0.0
    warmup_weight: NonNegative = 0.0
    weight_ramp_fraction: Fraction = 0.0
    bound_weight: Fraction = 0.1
    final_linear_weight: Fraction = 1.0
    steps: PositiveInt = 1
    step_size: Positive = 2.0
    beta: Positive = 1.0
    draws: PositiveInt = 4
    warm_start: StrictBool = False
    initialization: Literal["default", "interval"] = "default"
    training: Training | None = None

    @model_validator(mode="after")
    def _one_start(self) -> RobustLikelihood:
        if self.warm_start and self.initialization != "default":
            raise ValueError(
                f"initialization: got {self.initialization!r} with warm_start: true; "
                "allowed: an initialization of its own only with warm_start: false"
            )
        return self

    @model_validator(mode="after")
    def _keys_that_its_bounds_read(self) -> RobustLikelihood:
        for name, bounds in READ_WITH.items():
            value = getattr(self, name)
            if self.bounds not in bounds and value != type(self).model_fields[name].default:
                raise ValueError(
                    f"{name}: got {value} with bounds: {self.bounds}; "
                    f"allowed: only with bounds: {', '.join(bounds)}"
                )
        return self

    @model_validator(mode="after")
    def _ramps_make_sense(self) -> RobustLikelihood:
        if self.ramp_start > 0 and self.ramp_start >= self.ramp_fraction:
            raise ValueError(
                f"ramp_start: got {self.ramp_start}; allowed: below ramp_fraction = "
                f"{self.ramp_fraction}, or 0"
            )
        if self.warmup_weight > 0 and self.ramp_fraction == 0:
            raise ValueError(
                f"warmup_weight: got {self.warmup_weight} with ramp_fraction: 0; allowed: 0, "
                "because it acts while the radius grows"
            )
        if self.epsilon_density == "two_atom" and self.epsilon_draws != 2:
            raise ValueError(
                f"epsilon_draws: got {self.epsilon_draws} with epsilon_density: two_atom; "
                "allowed: only with exponential, rayleigh"
            )
        return self


AnyDefense = Annotated[
    Fisher | Empirical | Adversarial | Trades | NoiseAugmentation | RobustLikelihood,
    Field(discriminator="kind"),
]
