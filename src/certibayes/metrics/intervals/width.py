"""How far a confidence bound of a mean lies from the mean, where only bounds of the terms exist."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

WidthMethod = Literal["hoeffding", "empirical_bernstein", "betting"]


def mean_width(method: WidthMethod, variance: Tensor, span: Tensor, n: int, alpha: float) -> Tensor:
    """Return what to add to a mean of n terms, so that it bounds their expectation.

    Hoeffding (1963): span sqrt(ln(1/alpha) / 2n). Maurer and Pontil (2009), Theorem 4:
    sqrt(2 V ln(2/alpha) / n) + 7 span ln(2/alpha) / (3 (n - 1)). Both grow with span and variance:
    larger values of either, as bounds give them, are sound.

    Args:
        method: "hoeffding" or "empirical_bernstein".
        variance: at least the unbiased sample variance, shape (batch,); unused by Hoeffding.
        span: width of an interval that holds the terms, shape (batch,).
        n: number of terms, at least 2.
        alpha: probability, per entry, that the bound fails.

    Raises:
        ValueError: if the method needs the terms themselves.
    """
    if method == "hoeffding":
        return span * math.sqrt(math.log(1 / alpha) / (2 * n))
    if method != "empirical_bernstein":
        raise ValueError(f"interval: got {method!r}; allowed: hoeffding, empirical_bernstein")
    log_term = math.log(2 / alpha)
    largest = torch.minimum(variance, span.square() / 4 * n / (n - 1))
    return (2 * largest * log_term / n).sqrt() + 7 * span * log_term / (3 * (n - 1))
