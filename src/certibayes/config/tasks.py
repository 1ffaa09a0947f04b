"""All tasks that a study file can name."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, Field

from certibayes.config.datasets import CIFAR10, MNIST, SVHN, Digits, FashionMNIST
from certibayes.config.simulators.gloeckler2023 import (
    SIR,
    GaussianLinear,
    HodgkinHuxley,
    LotkaVolterra,
    SpatialSIR,
    Vae,
)
from certibayes.config.simulators.own import OwnPairs, OwnSimulator
from certibayes.config.simulators.recordings import (
    HodgkinHuxleyAllen,
    LynxHare,
    PyloricSummary,
    PyloricTraces,
)
from certibayes.config.simulators.sbibm import (
    BernoulliGlm,
    GaussianLinearSbibm,
    GaussianMixture,
    LotkaVolterraSbibm,
    SIRSbibm,
    Slcp,
    TwoMoons,
)
from certibayes.config.task_spec import Form, TaskSpec

__all__ = ["BUILT_IN", "AnyTask", "Form", "TaskSpec"]

BuiltIn = (
    GaussianLinear
    | LotkaVolterra
    | SIR
    | SpatialSIR
    | HodgkinHuxley
    | Vae
    | GaussianLinearSbibm
    | TwoMoons
    | Slcp
    | GaussianMixture
    | BernoulliGlm
    | LotkaVolterraSbibm
    | SIRSbibm
    | LynxHare
    | HodgkinHuxleyAllen
    | PyloricTraces
    | PyloricSummary
    | Digits
    | MNIST
    | FashionMNIST
    | CIFAR10
    | SVHN
)
OWN = {"file": "a simulator of your own", "folder": "pairs simulated before"}


def _own_kind(value: Any) -> Any:
    """Let `{file: ...}` and `{folder: ...}` name their kind by that key."""
    if not isinstance(value, dict) or "kind" in value:
        return value
    named = [kind for kind in OWN if kind in value]
    choices = ", or ".join(f"{kind} ({meaning})" for kind, meaning in OWN.items())
    if not named:
        raise ValueError(f"kind: got nothing; allowed: this key is required, or {choices}")
    if len(named) > 1:
        raise ValueError(f"{named[1]}: got {value[named[1]]!r} beside {named[0]}; allowed: one")
    return {"kind": named[0], **value}


AnyTask = Annotated[
    Annotated[BuiltIn | OwnSimulator | OwnPairs, Field(discriminator="kind")],
    BeforeValidator(_own_kind),
]
BUILT_IN: dict[str, type[BuiltIn]] = {
    str(spec.model_fields["kind"].default): spec for spec in get_args(BuiltIn)
}
