"""All tasks that a study file can name."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, Field

from certibayes.config.datasets import CIFAR10, MNIST, Digits, FashionMNIST
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
)
OWN = {"file": "file", "folder": "folder"}


def _own_kind(value: Any) -> Any:
    """Let `{file: ...}` and `{folder: ...}` name their kind by that key."""
    if isinstance(value, dict) and "kind" not in value:
        named = [kind for key, kind in OWN.items() if key in value]
        if len(named) == 1:
            return {"kind": named[0], **value}
    return value


AnyTask = Annotated[
    Annotated[BuiltIn | OwnSimulator | OwnPairs, Field(discriminator="kind")],
    BeforeValidator(_own_kind),
]
BUILT_IN: dict[str, type[BuiltIn]] = {
    str(spec.model_fields["kind"].default): spec for spec in get_args(BuiltIn)
}
