"""Attacks and their objectives."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, StrictBool, field_validator, model_validator

from certibayes.config.base import AtLeastTwo, Count, Positive, PositiveInt, Spec
from certibayes.config.presets import PresetSpec
from certibayes.config.tasks import Form
from certibayes.config.threat import PerturbationGrid

ObjectiveName = Literal[
    "forward_kl",
    "reverse_kl",
    "mmd",
    "nll",
    "toward_posterior",
    "toward_theta",
    "expected_loss",
    "margin",
    "confidence",
]
FORM_OF_OBJECTIVE: dict[ObjectiveName, Form] = {
    "forward_kl": "posterior",
    "reverse_kl": "posterior",
    "mmd": "posterior",
    "nll": "posterior",
    "toward_posterior": "posterior",
    "toward_theta": "posterior",
    "expected_loss": "classification",
    "margin": "classification",
    "confidence": "classification",
}
DRAWLESS: tuple[ObjectiveName, ...] = (
    *("nll", "toward_theta"),
    *("expected_loss", "margin", "confidence"),
)
"""Objectives that use no draw of theta."""
CheckName = Literal["more_steps", "more_restarts", "more_draws", "transfer", "gradient_free"]
CHECKS: tuple[CheckName, ...] = get_args(CheckName)
MMD_DRAWS = 2
"""Fewest draws from which MMD can be estimated without bias."""


class AdaptiveChecks(Spec):
    """Stronger and different attacks that a gradient attack is held against.

    They run at its largest epsilon. One that reaches clearly more shows that the gradients may be
    masked, or that the attack is too weak for a claim of robustness.
    """

    checks: tuple[CheckName, ...] = CHECKS
    """`more_steps`, `more_restarts` and `more_draws` (of gradients and of the selection) multiply
    an effort by `factor`; `transfer` attacks the undefended model instead; `gradient_free` is a
    random search of about as many steps."""
    observations: PositiveInt = 24
    """First test observations that are checked."""
    factor: AtLeastTwo = 2
    """By which an effort is multiplied."""
    report_draws: Annotated[int, Field(strict=True, ge=256)] = 256
    """Fresh draws of theta on which attack and checks are compared."""

    @field_validator("checks")
    @classmethod
    def _each_once(cls, checks: tuple[CheckName, ...]) -> tuple[CheckName, ...]:
        if not checks or len(set(checks)) < len(checks):
            raise ValueError(f"got {list(checks)}; allowed: each name once, or adaptive: null")
        return checks


class Attack(Spec):
    """What every attack states: what it maximises, where, and how many draws judge a point."""

    kind: str
    objective: ObjectiveName
    """What is maximized over the ball."""
    perturbation: PerturbationGrid
    """Balls that are searched, one after the other."""
    mask: tuple[Count, ...] | None = None
    """Features that may be perturbed, counted from 0; None = all. The ball has radius 0 along the
    others."""
    observations: AtLeastTwo | None = None
    """First test observations that are attacked (objectives of classifiers only): a costly attack
    beside a cheap one on all; None = all that are evaluated."""
    outside: StrictBool = False
    """Whether the foreign inputs of `evaluation.outside` are attacked too, in the same balls, for
    the surest prediction: does the uncertainty still tell them apart?"""
    selection_draws: PositiveInt = 64
    """Draws of theta on which candidates are judged (posterior objectives)."""

    @property
    def adaptive_checks(self) -> AdaptiveChecks | None:
        """The checks of a gradient attack, None if they are switched off or it is none."""
        return None

    @field_validator("mask")
    @classmethod
    def _strictly_increasing(cls, mask: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if mask is not None and (not mask or list(mask) != sorted(set(mask))):
            raise ValueError(f"got {list(mask)}; allowed: a strictly increasing, filled list")
        return mask

    @model_validator(mode="after")
    def _of_classifiers(self) -> Self:
        if FORM_OF_OBJECTIVE[self.objective] == "classification":
            return self
        for name, unset in (("observations", None), ("outside", False)):
            value = getattr(self, name)
            if value != unset:
                allowed = [o for o, form in FORM_OF_OBJECTIVE.items() if form == "classification"]
                raise ValueError(
                    f"{name}: got {value} with objective {self.objective!r}; "
                    f"allowed: only with {', '.join(allowed)}"
                )
        return self

    @model_validator(mode="after")
    def _enough_draws(self) -> Self:
        draws = {"selection_draws": self.selection_draws}
        if isinstance(self, GradientSearch):
            draws["gradient_draws"] = self.gradient_draws
        for name, value in draws.items():
            if self.objective == "mmd" and value < MMD_DRAWS:
                raise ValueError(f"{name}: got {value}; allowed for mmd: at least {MMD_DRAWS}")
        return self


class Search(Attack):
    """An attack that keeps its best candidate; x and noise points of the ball are among them."""

    points: PositiveInt = 8
    """Uniform points of the ball that are candidates."""


class GradientSearch(Search):
    """A search along gradients of the objective."""

    gradient_draws: PositiveInt = 8
    """Draws of theta per gradient step, fresh every step."""
    adaptive: AdaptiveChecks | None = AdaptiveChecks()
    """What the attack is held against; null = nothing."""

    @property
    def adaptive_checks(self) -> AdaptiveChecks | None:
        """The value of `adaptive`."""
        return self.adaptive


class GradientAscent(GradientSearch):
    """Iterated gradient ascent with restarts; step sizes are fractions of the radius."""

    steps: PositiveInt = 50
    """Gradient steps from every start."""
    restarts: PositiveInt = 2
    """Starts, at noise points of the ball."""
    step_size: Positive
    """First step, as a fraction of the radius."""
    final_step: Positive = 0.02
    """Last step; a cosine leads from `step_size` to it."""
    selection_every: Count = 5
    """Steps between judgements of the iterate on the selection draws; 0 = the last iterate only."""


class Noise(Search):
    """The worst of `points` uniform points of the ball."""

    kind: Literal["noise"] = "noise"


class FGSM(GradientSearch):
    """One step of full radius along the steepest direction, from x and from restarts."""

    kind: Literal["fgsm"] = "fgsm"
    restarts: Count = 2
    """Starts beside x, at noise points: at x itself the gradient of a divergence is zero."""


class PGD(PresetSpec, GradientAscent):
    """Projected gradient ascent with restarts."""

    SECTION: ClassVar[str] = "attacks.pgd"
    kind: Literal["pgd"] = "pgd"
    step_size: Positive = 2.0
    """First step (2: across the ball, Croce and Hein, 2020)."""


class PGDAdam(GradientAscent):
    """Adam on the perturbation in units of the radius, projected after every step."""

    kind: Literal["pgd_adam"] = "pgd_adam"
    step_size: Positive = 0.3
    """First step."""


class RandomSearch(Search):
    """Proposals around the best point, without gradients."""

    kind: Literal["random_search"] = "random_search"
    steps: PositiveInt = 50
    """Rounds of proposals."""
    proposals: PositiveInt = 5
    """Proposals per step."""
    contraction: Annotated[float, Field(strict=True, gt=1, allow_inf_nan=False)] = 1.3
    """Factor by which proposals draw closer after a step without improvement."""


class Spectral(Search):
    """The leading direction of the Fisher information with respect to x, both signs."""

    kind: Literal["spectral"] = "spectral"
    score_draws: PositiveInt = 64
    """Draws of theta that estimate the Fisher information; unused where it is exact (Gaussian
    posteriors, classifiers)."""


class Gloeckler2023L2PGD(Attack):
    """The l2 attack of Gloeckler et al. (2023): its settings are fixed by the publication."""

    STEPS: ClassVar[int] = 200
    STEP_SIZE: ClassVar[float] = 0.1
    GRADIENT_DRAWS: ClassVar[int] = 5

    kind: Literal["gloeckler2023_l2pgd"] = "gloeckler2023_l2pgd"
    adaptive: AdaptiveChecks | None = AdaptiveChecks()
    """What the attack is held against; null = nothing."""

    @property
    def adaptive_checks(self) -> AdaptiveChecks | None:
        """The value of `adaptive`."""
        return self.adaptive

    @field_validator("perturbation")
    @classmethod
    def _l2(cls, perturbation: PerturbationGrid) -> PerturbationGrid:
        if perturbation.norm != "l2":
            raise ValueError(f"norm: got {perturbation.norm!r}; allowed: l2, as published")
        return perturbation


AnyAttack = Annotated[
    Noise | FGSM | PGD | PGDAdam | RandomSearch | Spectral | Gloeckler2023L2PGD,
    Field(discriminator="kind"),
]
