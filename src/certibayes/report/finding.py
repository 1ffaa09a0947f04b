"""The outcome of one comparison."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from certibayes.report.items import Method


@dataclass(frozen=True)
class Finding:
    """One inequality, compared at one radius.

    Attributes:
        name: the inequality.
        holds: whether it holds.
        detail: what was compared and what broke.
        method: certificate in it, else the attack: its norm and unit are the ball's.
        epsilon: radius at which `method` was run, in its unit.
        attack: the attack in it, or None.
        attack_epsilon: radius of the attack, or None.
    """

    name: str
    holds: bool
    detail: str
    method: Method
    epsilon: float
    attack: Method | None = None
    attack_epsilon: float | None = None


def first_violation(violated: NDArray[np.bool_], what: str) -> tuple[bool, str]:
    """Return whether nothing is violated, and a sentence that counts and names the first item."""
    count = int(violated.sum())
    if count == 0:
        return True, f"{what}: holds for all {len(violated)} observations"
    first = int(violated.argmax())
    return False, f"{what}: broken for {count} of {len(violated)} observations, first {first}"
