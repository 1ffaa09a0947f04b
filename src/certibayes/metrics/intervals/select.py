"""Confidence bounds by the name that a study file states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from certibayes.metrics.intervals.betting import betting_lower, betting_upper
from certibayes.metrics.intervals.empirical_bernstein import (
    empirical_bernstein_lower,
    empirical_bernstein_upper,
)
from certibayes.metrics.intervals.hoeffding import hoeffding_lower, hoeffding_upper

Method = Literal["hoeffding", "empirical_bernstein", "betting"]

UPPER: dict[Method, Callable[[Tensor, float], Tensor]] = {
    "hoeffding": hoeffding_upper,
    "empirical_bernstein": empirical_bernstein_upper,
    "betting": betting_upper,
}
LOWER: dict[Method, Callable[[Tensor, float], Tensor]] = {
    "hoeffding": hoeffding_lower,
    "empirical_bernstein": empirical_bernstein_lower,
    "betting": betting_lower,
}


def mean_upper(method: Method, terms: Tensor, alpha: float) -> Tensor:
    """Bound the mean of terms, shape (n, batch), from above with confidence 1 - alpha; (batch,)."""
    return UPPER[method](terms, alpha)


def mean_lower(method: Method, terms: Tensor, alpha: float) -> Tensor:
    """Bound the mean of terms, shape (n, batch), from below with confidence 1 - alpha; (batch,)."""
    return LOWER[method](terms, alpha)
