"""Total variation distance from log densities at draws."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.metrics.standard_error import Estimate, estimate


def total_variation_terms(log_q_clean: Tensor, log_q_attacked: Tensor) -> Tensor:
    """Return (1 - q(theta | x') / q(theta | x))+ at every theta, in [0, 1]; any equal shapes."""
    return -torch.expm1((log_q_attacked - log_q_clean).clamp(max=0.0))


def total_variation_estimate(log_q_clean: Tensor, log_q_attacked: Tensor) -> Estimate:
    """Estimate TV(q, q') = E_q[(1 - q'/q)+], with its standard error.

    TV is the largest difference in probability that q and q' give to any event.

    Args:
        log_q_clean: log q(theta | x) at draws theta ~ q(. | x), shape (n, batch).
        log_q_attacked: log q(theta | x') at the same draws, shape (n, batch).

    Returns:
        Mean and standard error, shape (batch,); unbiased, in [0, 1].

    Raises:
        ValueError: if there are fewer than two draws.
    """
    return estimate(total_variation_terms(log_q_clean, log_q_attacked))
