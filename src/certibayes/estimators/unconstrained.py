"""Posteriors before the bijection onto the prior's support."""

from __future__ import annotations

import copy
from dataclasses import replace

from torch.distributions import constraints

from certibayes.estimators.mixture_posterior import MixturePosterior
from certibayes.estimators.posterior import Posterior


def unconstrained(posterior: Posterior) -> Posterior:
    """Return the posterior of u = location + scale * v, where theta = bijection(u).

    Divergences between two posteriors with one support are those of their u. Computed there they
    do not suffer from a bijection that saturates: close to the end of a bounded support theta is
    rounded, and what is lost enters log q(theta) without limit.

    Args:
        posterior: batch shape (batch,).

    Returns:
        The same batch, on all of R^theta_dim; noise, weights and draws are the posterior's.
    """
    free = copy.copy(posterior)
    free.theta_map = replace(posterior.theta_map, support=constraints.real_vector)
    if isinstance(posterior, MixturePosterior):
        assert isinstance(free, MixturePosterior)
        free.components = tuple(unconstrained(one) for one in posterior.components)
    return free
