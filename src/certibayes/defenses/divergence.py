"""KL divergence whose gradient reaches both distributions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, kl_divergence

from certibayes.attacks.closed_form import as_gaussian, gaussian_kl, require_posterior


def differentiable_kl(
    p: Distribution, q: Distribution, draws: int, generator: torch.Generator
) -> Tensor:
    """Return KL(p || q) in nats, shape (batch,).

    In closed form for two Categorical and two Gaussian distributions. Otherwise the mean of
    log p(theta) - log q(theta) over reparametrized draws theta ~ p: unbiased, may be negative, and
    its gradient passes through theta, log p and log q.

    Args:
        p: batch shape (batch,).
        q: batch shape (batch,).
        draws: draws from p; unused in closed form.
        generator: source of the noise behind them.

    Raises:
        TypeError: if p has neither a closed form nor draws from a generator.
    """
    if isinstance(p, Categorical) and isinstance(q, Categorical):
        return kl_divergence(p, q)
    if as_gaussian(p) is not None and as_gaussian(q) is not None:
        return gaussian_kl(p, q)
    posterior = require_posterior(p)
    theta = posterior.transport(posterior.noise((draws,), generator))
    return (p.log_prob(theta) - q.log_prob(theta)).mean(0)


def rise_of_forward_kl(
    p: Distribution, q: Distribution, draws: int, generator: torch.Generator
) -> Tensor:
    """Return KL(p || q) up to a term without q, shape (batch,): all that a search in q needs.

    In closed form it is the divergence; otherwise -log q(theta), the mean over draws theta ~ p
    that carry no gradient: no log p, which does not rise.

    Args:
        p: batch shape (batch,).
        q: batch shape (batch,).
        draws: draws from p; unused in closed form.
        generator: source of the noise behind them.

    Raises:
        TypeError: if p has neither a closed form nor draws from a generator.
    """
    if isinstance(p, Categorical) or as_gaussian(p) is not None:
        return differentiable_kl(p, q, draws, generator)
    return -q.log_prob(require_posterior(p).draw(draws, generator)).mean(0)
