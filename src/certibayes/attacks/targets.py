"""Checks of what an objective aims at, and of what it is computed from."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Categorical, Distribution

from certibayes.attacks.base import Target


def require_values(target: Target, objective: str, allowed: str) -> Tensor:
    """Return the target if it holds values, such as labels or thetas.

    Raises:
        ValueError: if it is none or a distribution.
    """
    if not isinstance(target, Tensor):
        raise ValueError(
            f"target: got {_named(target)}; allowed for {objective}: {allowed}, see `Objective.aim`"
        )
    return target


def require_distribution(target: Target, objective: str) -> Distribution:
    """Return the target if it is a distribution.

    Raises:
        ValueError: if it is none or holds values.
    """
    if not isinstance(target, Distribution):
        raise ValueError(
            f"target: got {_named(target)}; allowed for {objective}: posteriors, batch shape "
            "(batch,), see `Objective.aim`"
        )
    return target


def require_categorical(attacked: Distribution) -> Categorical:
    """Return the distribution at the attacked x if it is one over classes.

    Raises:
        TypeError: if it is another.
    """
    if not isinstance(attacked, Categorical):
        raise TypeError(f"model: got {type(attacked).__name__}; allowed: Categorical")
    return attacked


def _named(target: Target) -> str:
    return "None" if target is None else type(target).__name__
