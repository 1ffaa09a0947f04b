"""KL divergence whose gradient reaches both distributions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, kl_divergence

from certibayes.attacks.closed_form import as_gaussian, before_bijection, gaussian_kl
from certibayes.defenses.information import expectation


def differentiable_kl(
    p: Distribution, q: Distribution, draws: int, generator: torch.Generator
) -> Tensor:
    """Return KL(p || q) in nats, shape (batch,).

    In closed form for two Categorical and two Gaussian distributions. Otherwise the mean of
    log p(theta) - log q(theta) over draws theta ~ p, theta unconstrained: unbiased, may be
    negative. Its gradient is unbiased too: it passes through theta, log p and log q, or, where
    draws of p cannot be reparametrized, has a likelihood ratio in place of theta (see
    `expectation`).

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
    if _closed_form(p) and _closed_form(q):
        return gaussian_kl(p, q)
    from_p, from_q = before_bijection(p), before_bijection(q)
    if from_p.has_rsample:
        u = from_p.transport(from_p.noise((draws,), generator))
        return (from_p.log_prob(u) - from_q.log_prob(u)).mean(0)
    u = from_p.draw(draws, generator)
    log = from_p.log_prob(u)
    return expectation(log - from_q.log_prob(u), log, from_p, "score_function")


def forward_kl_to_climb(
    p: Distribution, draws: int, steps: int, generator: torch.Generator
) -> Callable[[Distribution], Tensor]:
    """Return what a search for the q of largest KL(p || q) climbs, once per step.

    In closed form it is the divergence. Otherwise it is -log q(theta), the mean over draws
    theta ~ p that carry no gradient: log p does not rise. Every step has draws of its own; those
    of all steps are taken in one pass.

    Args:
        p: batch shape (batch,), fixed during the search.
        draws: draws from p per step; unused in closed form.
        steps: how often the result may be called.
        generator: source of the noise behind them.

    Returns:
        Maps q, batch shape (batch,), to values of shape (batch,).

    Raises:
        TypeError: if p has neither a closed form nor draws from a generator.
    """
    if isinstance(p, Categorical) or _closed_form(p):
        return lambda q: differentiable_kl(p, q, draws, generator)
    us = iter(before_bijection(p).draw(steps * draws, generator).split(draws))
    return lambda q: -before_bijection(q).log_prob(next(us)).mean(0)


def _closed_form(p: Distribution) -> bool:
    return as_gaussian(p) is not None
