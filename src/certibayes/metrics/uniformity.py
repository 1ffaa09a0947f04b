"""Test of ranks among posterior draws for uniformity."""

from __future__ import annotations

from typing import NamedTuple

import torch
from scipy.stats import kstest
from torch import Tensor


class Uniformity(NamedTuple):
    """Kolmogorov-Smirnov distance from uniform and its p-value."""

    statistic: float
    p: float


def uniformity(ranks: Tensor, draws: int, generator: torch.Generator) -> Uniformity:
    """Test ranks r for the uniform distribution on 0, ..., n.

    Tested is (r + u) / (n + 1) with u uniform in [0, 1): exactly uniform if the ranks are, so that
    the p-value is exact for any number n of draws.

    Args:
        ranks: among the draws, in [0, n], shape (batch,).
        draws: number n of draws behind each rank.
        generator: source of u.
    """
    jitter = torch.rand(ranks.shape, generator=generator, dtype=torch.float64)
    found = kstest(((ranks + jitter) / (draws + 1)).numpy(), "uniform")
    return Uniformity(float(found.statistic), float(found.pvalue))
