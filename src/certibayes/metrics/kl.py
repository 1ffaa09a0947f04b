"""Kullback-Leibler divergence from log densities at draws."""

from __future__ import annotations

from torch import Tensor

from certibayes.metrics.standard_error import Estimate, estimate


def monte_carlo_kl(log_p: Tensor, log_q: Tensor) -> Estimate:
    """Estimate KL(p || q) = E_p[log p - log q] in nats, with its standard error.

    Args:
        log_p: log p at draws from p, shape (n, batch).
        log_q: log q at the same draws, shape (n, batch).

    Returns:
        Mean and standard error, shape (batch,). Unbiased; may be slightly negative. A draw where
        q vanishes gives infinity.

    Raises:
        ValueError: if there are fewer than two draws.
    """
    return estimate(log_p - log_q)
