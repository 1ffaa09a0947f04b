"""Simulation-based calibration: ranks of true parameters among posterior draws."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from certibayes.metrics.uniformity import uniformity


class RankUniformity(NamedTuple):
    """How far ranks are from uniform.

    Attributes:
        statistic: Kolmogorov-Smirnov distance per parameter, shape (theta_dim,).
        p: its p-value per parameter, not corrected for their number, shape (theta_dim,).
        smallest_p: smallest p-value times theta_dim, at most 1 (Bonferroni): below alpha, the
            posteriors are rejected at level alpha.
    """

    statistic: Tensor
    p: Tensor
    smallest_p: float


def sbc_ranks(theta: Tensor, draws: Tensor) -> Tensor:
    """Return the rank of each true parameter among its posterior draws (Talts et al., 2018).

    r_ij = number of draws below theta_ij, ties count half; uniform on 0, ..., n if theta and draws
    come from the same posterior.

    Args:
        theta: true parameters, shape (batch, theta_dim).
        draws: n draws from each q(. | x_i), shape (n, batch, theta_dim).

    Returns:
        Ranks in [0, n], shape (batch, theta_dim), float64.

    Raises:
        ValueError: if a value is NaN, which has no rank.
    """
    undefined = int(theta.isnan().sum() + draws.isnan().sum())
    if undefined:
        raise ValueError(f"theta, draws: got {undefined} NaN; allowed: numbers")
    return (draws < theta).double().sum(0) + 0.5 * (draws == theta).double().sum(0)


def rank_uniformity(ranks: Tensor, draws: int, generator: torch.Generator) -> RankUniformity:
    """Test every parameter's ranks against the uniform distribution; see `uniformity`.

    Args:
        ranks: shape (batch, theta_dim).
        draws: number n of draws behind each rank.
        generator: source of the randomization between neighboring ranks.
    """
    found = [uniformity(column, draws, generator) for column in ranks.T]
    statistic, p = torch.tensor(found, dtype=torch.float64).T
    return RankUniformity(statistic, p, min(1.0, float(p.min()) * len(p)))
