"""What an attack reaches beyond any doubt of its draws."""

from __future__ import annotations

from torch import Tensor

from certibayes.certificates.base import UnsoundBoundError
from certibayes.certificates.shift_bounds import RELATIVE_ROUNDING
from certibayes.metrics.intervals.betting import betting_lower

DOUBT = 1e-12
"""Probability, per observation and attack, that draws alone contradict a bound that holds."""


def require_not_surely_beaten(upper: Tensor, terms: Tensor) -> None:
    """Check bounds that hold with certainty against an attack's terms on draws of its own.

    The mean of the terms is the total variation at x'. It is known up to draws, so a bound is
    contradicted where the lower end of its betting interval at 1 - 1e-12 exceeds the bound.

    Args:
        upper: deterministic bounds of the total variation, shape (batch,).
        terms: (1 - q(theta | x') / q(theta | x))+ of independent draws, shape (n, batch).

    Raises:
        UnsoundBoundError: if a bound is contradicted.
    """
    reached = betting_lower(terms, DOUBT)
    beaten = ~(reached <= upper + RELATIVE_ROUNDING)
    if beaten.any():
        row = int(beaten.nonzero()[0])
        raise UnsoundBoundError(
            f"total variation of observation {row}: an attack reaches at least "
            f"{float(reached[row])} with confidence 1 - {DOUBT}, the bound is {float(upper[row])}"
        )
