"""Betting bound: a mean is excluded once a gambler who bets against it has won 1/alpha."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from certibayes.metrics.intervals.terms import require_terms

LARGEST_BET = 0.75
BISECTIONS = 26


def betting_upper(terms: Tensor, alpha: float) -> Tensor:
    """Bound the mean from above by betting (Waudby-Smith and Ramdas, 2024).

    For a candidate mean m the capital K_t(m) = prod_{i<=t} (1 - lambda_i(m) (X_i - m)) with
    predictable bets 0 <= lambda_i(m) < 1 / (1 - m) is a nonnegative supermartingale whenever the
    true mean is at least m, so P(max_t K_t(m) >= 1/alpha) <= alpha (Ville, 1939). The bets are
    lambda_i(m) = min(sqrt(2 ln(1/alpha) / (n s_{i-1}^2)), 0.75 / (1 - m)), with s_{i-1}^2 the
    running variance, shrunk to 1/4, of the terms before i. Each factor grows with m, so the
    excluded means form one interval (u, 1]; bisection finds u from above. The result depends on
    the order of the terms, which must be the order in which they were drawn.

    Args:
        terms: iid terms in [0, 1], shape (n, batch), float64.
        alpha: probability, per column, that the bound fails.

    Returns:
        Upper bounds, shape (batch,), at most 2^-26 above u.

    Raises:
        ValueError: as `require_terms`.
    """
    require_terms(terms, alpha)
    bets = _bets(terms, alpha)
    low = torch.zeros_like(terms[0])
    high = torch.ones_like(low)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        excluded = _largest_log_capital(terms, bets, middle) >= math.log(1 / alpha)
        high = torch.where(excluded, middle, high)
        low = torch.where(excluded, low, middle)
    return high


def betting_lower(terms: Tensor, alpha: float) -> Tensor:
    """Bound the mean from below: 1 - betting_upper(1 - terms, alpha), shape (batch,)."""
    return 1 - betting_upper(1 - terms, alpha)


def _bets(terms: Tensor, alpha: float) -> Tensor:
    """Return the bets before their cap, shape (n, batch); row i depends on rows before i alone."""
    n = len(terms)
    count = torch.arange(1, n + 1, dtype=terms.dtype).unsqueeze(-1)
    mean = (0.5 + terms.cumsum(0)) / (count + 1)
    variance = (0.25 + (terms - mean).square().cumsum(0)) / (count + 1)
    before = torch.cat([torch.full_like(variance[:1], 0.25), variance[:-1]])
    return (2 * math.log(1 / alpha) / (n * before)).sqrt()


def _largest_log_capital(terms: Tensor, bets: Tensor, mean: Tensor) -> Tensor:
    """Return max over t of log K_t(mean), shape (batch,), for mean in [0, 1)."""
    capped = torch.minimum(bets, LARGEST_BET / (1 - mean))
    return torch.log1p(capped.mul_(mean - terms)).cumsum(0).amax(0)
