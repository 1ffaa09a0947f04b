"""Find the bound rules of an estimator by its registered name."""

from __future__ import annotations

from typing import Any

from certibayes import registry
from certibayes.estimators.base import Estimator
from certibayes.estimators.ensemble import EnsembleEstimator


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

    An ensemble has the rules that its members have.

    Args:
        kind: "estimator_bounds" (of the log density), "forward_kl_bounds" (of the KL),
            "head_shift_bounds" (of TV and KL in closed form) or "log_density_graph".
        model: the estimator to bound.

    Raises:
        ValueError: if the estimator's class is not registered.
    """
    name = estimator_name(model)
    if isinstance(model, EnsembleEstimator) and bound_rule(kind, model.estimators[0]) is None:
        return None
    return registry.load(kind, name) if name in registry.names(kind) else None
