"""Empirical Bernstein bound: narrow where the sample variance is small."""

from __future__ import annotations

import math

from torch import Tensor

from certibayes.metrics.intervals.terms import require_terms


def empirical_bernstein_upper(terms: Tensor, alpha: float) -> Tensor:
    """Bound the mean from above (Maurer and Pontil, 2009, Theorem 4).

    min(1, mean + sqrt(2 V ln(2/alpha) / n) + 7 ln(2/alpha) / (3 (n - 1))), V the unbiased sample
    variance. The bound is one-sided; the 2 in ln(2/alpha) pays for estimating the variance.

    Args:
        terms: iid terms in [0, 1], shape (n, batch), float64.
        alpha: probability, per column, that the bound fails.

    Returns:
        Upper bounds, shape (batch,).

    Raises:
        ValueError: as `require_terms`.
    """
    require_terms(terms, alpha)
    n, log_term = len(terms), math.log(2 / alpha)
    width = (2 * terms.var(0) * log_term / n).sqrt() + 7 * log_term / (3 * (n - 1))
    return (terms.mean(0) + width).clamp(max=1.0)


def empirical_bernstein_lower(terms: Tensor, alpha: float) -> Tensor:
    """Bound the mean from below: 1 - empirical_bernstein_upper(1 - terms, alpha), (batch,)."""
    return 1 - empirical_bernstein_upper(1 - terms, alpha)
