"""Defenses: each is a training objective; `warm_start` states where its training begins."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool, model_validator

from certibayes.config.base import Fraction, NonNegative, PositiveInt, Spec
from certibayes.config.models import Training
from certibayes.config.threat import PerturbationAt


class NoDefense(Spec):
    """Plain log-likelihood: what the `train` stage uses."""

    kind: Literal["none"] = "none"


class Fisher(Spec):
    """Penalty beta * tr I(x) in standardised x, theta ~ q(. | x) (Gloeckler et al., 2023)."""

    kind: Literal["fisher"] = "fisher"
    beta: NonNegative
    draws: PositiveInt = 1
    warm_start: StrictBool = True
    training: Training | None = None


class RobustLikelihood(Spec):
    """Worst-case log-likelihood over a ball by interval bounds (Wicker et al., 2021).

    `clean_weight` is lambda. mixing "inside": log(lambda q + (1 - lambda) q_worst), the published
    form, whose gradient vanishes at -log lambda; "outside":
    lambda log q + (1 - lambda) log q_worst.
    The radius grows linearly from 0 over the first `ramp_fraction` of training.
    """

    kind: Literal["robust_likelihood"] = "robust_likelihood"
    perturbation: PerturbationAt
    clean_weight: Fraction = 0.5
    mixing: Literal["inside", "outside"] = "outside"
    ramp_fraction: Fraction = 0.5
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


AnyDefense = Annotated[Fisher | RobustLikelihood, Field(discriminator="kind")]
