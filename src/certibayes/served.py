"""What a registered model is called, what it may be asked and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.metadata import version
from typing import Any

from certibayes import __version__
from certibayes.config.tasks import Form

FRESH = -1
"""The seed that stands for a fresh one."""
PACKAGE = "package.json"
LOADER = "certibayes.serving.pyfunc"
"""Module that makes a package answer requests."""
PACKAGES = (
    *("torch", "nflows", "numpy", "scipy", "scikit-learn", "pandas"),
    *("pydantic", "pyyaml", "safetensors", "mlflow"),
)
_CERTIFICATE = {
    "name": "string",
    "kind": "string",
    "norm": "string",
    "unit": "string",
    "epsilon": "double",
    "clip": ["double"],
    "inactive_features": "long",
    "upper": "double",
    "verdict": "string",
    "confidence": "double",
    "fresh": "boolean",
}
_COMMON: dict[str, Any] = {"certificates": [_CERTIFICATE], "seed": "long"}
ANSWERS: dict[Form, dict[str, Any]] = {
    "posterior": {"parameters": ["string"], "draws": [["double"]], **_COMMON},
    "classification": {"probabilities": ["double"], "label": "long", **_COMMON},
}
"""Types of the answer per observation: a list holds any number of its one entry."""


@dataclass(frozen=True)
class ServedParams:
    """Parameters of a request.

    Attributes:
        draws: of theta per observation; not used by a classifier.
        seed: of draws and certificates, >= 0; -1 = a fresh one.
        certificate: whether certificates are computed, which may take longer than the draws.
    """

    draws: int = 1000
    seed: int = FRESH
    certificate: bool = True

    @staticmethod
    def of(params: Mapping[str, Any]) -> ServedParams:
        """Return the parameters of a request.

        Raises:
            ValueError: if one is unknown or has no meaning.
        """
        known = {field.name for field in fields(ServedParams)}
        unknown = sorted(set(params) - known)
        if unknown:
            raise ValueError(f"params: got {unknown}; allowed: {', '.join(sorted(known))}")
        found = ServedParams(**params)
        if found.draws < 1:
            raise ValueError(f"params.draws: got {found.draws}; allowed: at least 1")
        if found.seed < FRESH:
            raise ValueError(f"params.seed: got {found.seed}; allowed: at least {FRESH}")
        return found


def registered_name(study: str, task: str, model: str, defense: str) -> str:
    """Return the name under which a model's versions are registered, one per budget and seed."""
    return f"{study}.{task}.{model}.{defense}"


def requirements() -> list[str]:
    """Return the packages that a served model needs, in the versions that are installed."""
    found = [f"{name}=={version(name).partition('+')[0]}" for name in PACKAGES]
    return [f"certibayes=={__version__}", *found]
