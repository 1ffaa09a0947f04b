"""Interval bounds of an ensemble's log density and of its worst-case divergence."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from certibayes import registry
from certibayes.bounds import Interval
from certibayes.estimators.ensemble import EnsembleEstimator
from certibayes.estimators.mixture_posterior import log_sum_exp
from certibayes.threat import Ball


def log_density_bounds(
    estimator: EnsembleEstimator, theta: Tensor, x: Tensor, ball: Ball
) -> Interval:
    """Return bounds of log q(theta | x') over all x' in the ball around each x, shape (*, batch).

    log q = log sum_m exp(log q_m) - log n grows in every log q_m, so its bounds are those of the
    members put in: every member has an adversary of its own, so they hold for a shared one.

    Args:
        estimator: the ensemble.
        theta: raw, shape (*, batch, theta_dim); off the support both bounds are -inf.
        x: raw, shape (batch, x_dim).
        ball: radius in raw units of x.

    Raises:
        KeyError: if the members' kind has no bounds.
    """
    members = estimator.estimators
    rule = registry.load("estimator_bounds", members[0].kind)
    bounds = [rule(member, theta, x, ball) for member in members]
    lower, upper = (
        log_sum_exp(torch.stack(ends, -1)) - math.log(len(members))
        for ends in ([b.lower for b in bounds], [b.upper for b in bounds])
    )
    return Interval(lower, upper)


def forward_kl_upper(estimator: EnsembleEstimator, x: Tensor, ball: Ball) -> Tensor:
    """Return an upper bound of KL(q(. | x) || q(. | x')) over all x' in the ball, shape (batch,).

    KL is jointly convex: the divergence of the mixtures is at most the mean of the members' ones.

    Args:
        estimator: the ensemble.
        x: raw, shape (batch, x_dim).
        ball: radius in raw units of x.

    Raises:
        KeyError: if the members' kind has no such bound.
    """
    members = estimator.estimators
    rule = registry.load("forward_kl_bounds", members[0].kind)
    return torch.stack([rule(member, x, ball) for member in members]).mean(0)
