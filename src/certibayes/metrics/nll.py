"""Negative log-likelihood of held-out pairs."""

from __future__ import annotations

from torch import Tensor

from certibayes.metrics.standard_error import Estimate, estimate


def negative_log_likelihood(log_prob: Tensor) -> Estimate:
    """Average -log q(y_i | x_i) in nats over test pairs, with its standard error.

    Args:
        log_prob: log density or log probability of the true theta or label, shape (n,).

    Returns:
        Mean and standard error, scalars.

    Raises:
        ValueError: if there are fewer than two pairs.
    """
    return estimate(-log_prob)
