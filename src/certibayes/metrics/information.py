"""How much a posterior says beyond the prior."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution


def nats_over_prior(log_prob: Tensor, log_prior: Tensor) -> float:
    """Return the mean of log q(theta* | x) - log p(theta*) over pairs from prior and simulator.

    0 for a model that answers with the prior, whatever x; the mutual information of theta and x
    for the exact posterior, less for any other model: less by the mean KL of the exact posterior
    to the model's.

    Args:
        log_prob: log density of the true thetas under the model, shape (n,).
        log_prior: under the prior, shape (n,).
    """
    return float((log_prob - log_prior).mean())


def prior_log_prob(prior: Distribution, theta: Tensor) -> Tensor | None:
    """Return log p(theta), shape (n,), or None where the prior can be drawn from alone."""
    try:
        found: Tensor = prior.log_prob(theta)
    except NotImplementedError:
        return None
    return found.to(torch.float64)
