"""Expected coverage of credible regions (Hermans et al., 2022)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Coverage(NamedTuple):
    """Expected coverage of highest-density regions.

    Attributes:
        levels: nominal credibility, shape (levels,).
        coverage: share of true thetas inside the region of that credibility, shape (levels,).
        area: integral of |coverage - level| over the levels; 0 = calibrated, about 0.5 = never
            (or always) covered.
    """

    levels: Tensor
    coverage: Tensor
    area: float


def credibility(log_prob_of_true: Tensor, log_prob_of_draws: Tensor) -> Tensor:
    """Return the credibility of the smallest highest-density region that holds each true theta.

    (k + 1/2) / (n + 1), k the number of the n draws that are denser than the true theta (ties
    count half): uniform in (0, 1) if theta and draws come from the same posterior.

    Args:
        log_prob_of_true: log q(theta_i | x_i), shape (batch,).
        log_prob_of_draws: log q at n draws from each q(. | x_i), shape (n, batch).

    Returns:
        Credibilities, shape (batch,), float64.

    Raises:
        ValueError: if a log density is NaN, which has no rank.
    """
    undefined = int(log_prob_of_true.isnan().sum() + log_prob_of_draws.isnan().sum())
    if undefined:
        raise ValueError(f"log_prob: got {undefined} NaN; allowed: numbers or +-inf")
    denser = (log_prob_of_draws > log_prob_of_true).double().sum(0)
    tied = (log_prob_of_draws == log_prob_of_true).double().sum(0)
    return (denser + 0.5 * tied + 0.5) / (len(log_prob_of_draws) + 1)


def expected_coverage(
    log_prob_of_true: Tensor, log_prob_of_draws: Tensor, levels: Tensor
) -> Coverage:
    """Return how often highest-density regions hold the true theta.

    Args:
        log_prob_of_true: log q(theta_i | x_i), shape (batch,).
        log_prob_of_draws: log q at n draws from each q(. | x_i), shape (n, batch).
        levels: increasing credibilities in [0, 1], shape (levels,).

    Returns:
        Coverage per level and the area between coverage and nominal (trapezoids).

    Raises:
        ValueError: if a log density is NaN or the levels are not increasing within [0, 1].
    """
    return coverage_curve(credibility(log_prob_of_true, log_prob_of_draws), levels)


def coverage_curve(credibilities: Tensor, levels: Tensor) -> Coverage:
    """Return the share of credibilities up to every level.

    Args:
        credibilities: smallest credibility of a region that holds each true theta, shape (batch,).
        levels: increasing credibilities in [0, 1], shape (levels,).

    Returns:
        Coverage per level and the area between coverage and nominal (trapezoids).

    Raises:
        ValueError: if the levels are not increasing within [0, 1].
    """
    levels = levels.double()
    inside = bool(((levels >= 0) & (levels <= 1)).all())
    if not inside or not bool((levels.diff() > 0).all()):
        raise ValueError(f"levels: got {levels.tolist()}; allowed: increasing, within [0, 1]")
    coverage = (credibilities.unsqueeze(-1) <= levels).double().mean(0)
    return Coverage(levels, coverage, float(torch.trapezoid((coverage - levels).abs(), levels)))
