"""Hoeffding's bound: the width depends on n and alpha alone."""

from __future__ import annotations

import math

from torch import Tensor

from certibayes.metrics.intervals.terms import require_terms


def hoeffding_upper(terms: Tensor, alpha: float) -> Tensor:
    """Bound the mean from above: min(1, mean + sqrt(ln(1/alpha) / (2 n))) (Hoeffding, 1963).

    Args:
        terms: iid terms in [0, 1], shape (n, batch), float64.
        alpha: probability, per column, that the bound fails.

    Returns:
        Upper bounds, shape (batch,).

    Raises:
        ValueError: as `require_terms`.
    """
    require_terms(terms, alpha)
    width = math.sqrt(math.log(1 / alpha) / (2 * len(terms)))
    return (terms.mean(0) + width).clamp(max=1.0)


def hoeffding_lower(terms: Tensor, alpha: float) -> Tensor:
    """Bound the mean from below: 1 - hoeffding_upper(1 - terms, alpha), shape (batch,)."""
    return 1 - hoeffding_upper(1 - terms, alpha)
