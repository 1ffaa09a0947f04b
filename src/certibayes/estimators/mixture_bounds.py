"""Interval bounds of a mixture's log density and of its worst-case divergence."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.bounds import Interval, propagate
from certibayes.bounds.affine import affine
from certibayes.estimators.bounded_density import embedded_ball
from certibayes.estimators.gaussian_bounds import head_forward_kl_upper, head_log_density_bounds
from certibayes.estimators.mixture import MixtureEstimator
from certibayes.threat import Ball


def log_density_bounds(
    estimator: MixtureEstimator, theta: Tensor, x: Tensor, ball: Ball
) -> Interval:
    """Return bounds of log q(theta | x') over all x' in the ball around each x, shape (*, batch).

    log q = log sum_k w_k exp(l_k) grows in the log density l_k of every component; the weights are
    bounded through their logits.

    Args:
        estimator: the mixture.
        theta: raw, shape (*, batch, theta_dim); off the support both bounds are -inf.
        x: raw, shape (batch, x_dim).
        ball: radius in raw units of x.
    """
    v, log_det = estimator.theta_map.to_v(theta)
    hidden = propagate(estimator.trunk, embedded_ball(estimator, x, ball))
    parts = [head_log_density_bounds(head, hidden, v) for head in estimator.gaussian_heads()]
    logits = affine(hidden, *estimator.logit_layer())
    lower = -largest_average(logits, torch.stack([part.lower for part in parts], -1), -1.0)
    upper = largest_average(logits, torch.stack([part.upper for part in parts], -1), 1.0)
    return Interval(lower, upper) + log_det


def largest_average(logits: Interval, log_values: Tensor, sign: float) -> Tensor:
    """Return the maximum of sign * log sum_k w_k exp(log_values_k) over the box of logits.

    Raising a logit raises the average where its value is above the average. So the maximum has the
    logits of the largest values at their upper ends, those of the others at their lower ends (for
    the minimum of the average the other way round): one of K + 1 splits of the sorted values.

    Args:
        logits: of the weights, shape (batch, K).
        log_values: shape (*, batch, K).
        sign: 1 for the maximum of the log average, -1 for minus its minimum.

    Returns:
        Shape (*, batch).
    """
    ordered, order = (sign * log_values).sort(-1)
    values = sign * ordered
    low, high = (end.expand_as(values).gather(-1, order) for end in (logits.lower, logits.upper))
    raised = torch.ones(*(values.shape[-1] + 1,) * 2, dtype=torch.bool, device=values.device)
    raised = raised.triu()[:, :-1].unsqueeze(0)
    chosen = torch.where(raised, high.unsqueeze(-2), low.unsqueeze(-2))
    average = (chosen.log_softmax(-1) + values.unsqueeze(-2)).logsumexp(-1)
    return (sign * average).amax(-1)


def forward_kl_upper(estimator: MixtureEstimator, x: Tensor, ball: Ball) -> Tensor:
    """Return an upper bound of KL(q(. | x) || q(. | x')) over all x' in the ball, shape (batch,).

    KL <= KL(w || w') + sum_k w_k KL_k by the chain rule for (component, theta); KL(w || w') <=
    D^2 / 8 with D the range of log (w'_k / w_k), by Hoeffding's lemma. Deterministic,
    differentiable, exact at radius 0.

    Args:
        estimator: the mixture.
        x: raw, shape (batch, x_dim).
        ball: radius in raw units of x.
    """
    posterior = estimator(x)
    hidden = propagate(estimator.trunk, embedded_ball(estimator, x, ball))
    weight, bias = estimator.logit_layer()
    moved = affine(hidden, weight, bias) - posterior.log_weights
    spread = moved.upper.unsqueeze(-1) - moved.lower.unsqueeze(-2)
    apart = ~torch.eye(estimator.count, dtype=torch.bool, device=x.device)
    largest = torch.where(apart, spread, torch.zeros_like(spread)).amax((-2, -1))
    parts = [
        head_forward_kl_upper(head, hidden, component)
        for head, component in zip(estimator.gaussian_heads(), posterior.components, strict=True)
    ]
    own = (posterior.log_weights.exp() * torch.stack(parts, -1)).sum(-1)
    return largest.square() / 8 + own
