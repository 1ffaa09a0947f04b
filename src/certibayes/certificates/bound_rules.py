"""Find the bound rules of an estimator by its registered name."""

from __future__ import annotations

from typing import Any

from certibayes import registry
from certibayes.estimators.base import Estimator


def estimator_name(model: Estimator) -> str:
    """Return the name under which the estimator's own class is registered.

    A subclass is not its parent: it may compute another density, so it has no name here.

    Raises:
        ValueError: if the class is not registered.
    """
    path = f"{type(model).__module__}:{type(model).__qualname__}"
    for name, registered in registry.REGISTRY["estimator"].items():
        if registered == path:
            return name
    raise ValueError(f"estimator: got {path}; allowed: {list(registry.names('estimator'))}")


def bound_rule(kind: str, model: Estimator) -> Any | None:
    """Return the rule of one kind for an estimator, or None where none is registered.

    Args:
        kind: "estimator_bounds" (of the log density) or "forward_kl_bounds" (of the KL).
        model: the estimator to bound.

    Raises:
        ValueError: if the estimator's class is not registered.
    """
    name = estimator_name(model)
    return registry.load(kind, name) if name in registry.names(kind) else None
