"""Kullback-Leibler divergence, from log densities at draws or in closed form."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

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


def exact_or_monte_carlo_kl(p: Distribution, q: Distribution, draws: Tensor) -> Estimate:
    """Return KL(p || q) in nats, in closed form where torch knows one, otherwise from draws.

    Args:
        p: batch shape (batch,).
        q: batch shape (batch,).
        draws: draws from p, shape (n, batch, event); used without a closed form only.

    Returns:
        Value and standard error (0 for a closed form), shape (batch,). Where p has mass outside
        the support of q, a closed form is infinite, an estimate if a draw falls there.

    Raises:
        ValueError: if there are fewer than two draws and no closed form.
    """
    try:
        value = kl_divergence(p, q)
    except NotImplementedError:
        return monte_carlo_kl(p.log_prob(draws), q.log_prob(draws))
    return Estimate(value, torch.zeros_like(value))
