"""Exact binomial bounds of a proportion."""

from __future__ import annotations

from scipy.stats import beta


def clopper_pearson_lower(successes: int, n: int, alpha: float) -> float:
    """Bound a proportion from below: the alpha quantile of Beta(k, n - k + 1); 0 if k = 0.

    One-sided (Clopper and Pearson, 1934): a two-sided interval takes alpha / 2 on each side.

    Args:
        successes: k, successes among n independent trials.
        n: trials.
        alpha: probability that the bound fails.

    Raises:
        ValueError: if k is not in [0, n], n < 1 or alpha is not in (0, 1).
    """
    _require(successes, n, alpha)
    return 0.0 if successes == 0 else float(beta.ppf(alpha, successes, n - successes + 1))


def clopper_pearson_upper(successes: int, n: int, alpha: float) -> float:
    """Bound a proportion from above: the 1 - alpha quantile of Beta(k + 1, n - k); 1 if k = n.

    Arguments and errors as `clopper_pearson_lower`.
    """
    _require(successes, n, alpha)
    return 1.0 if successes == n else float(beta.isf(alpha, successes + 1, n - successes))


def _require(successes: int, n: int, alpha: float) -> None:
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"successes: got {successes} of n = {n}; allowed: 0 <= k <= n, n >= 1")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha: got {alpha}; allowed: a number in (0, 1)")
