"""Interval bounds of the likelihood of a fixed, finite ensemble of weight vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from certibayes.bnn.predictive import Predictive
from certibayes.bounds import BallAround, interval_bounds_of_samples
from certibayes.threat import Ball


def log_likelihood_lower(predictive: Predictive, y: Tensor, x: Tensor, ball: Ball) -> Tensor:
    """Return a lower bound of log p(y | x') over the ball, shape (batch,).

    The log of the mean over samples of the worst-case softmax, 1 / sum_j exp(upper (z_j - z_y))
    (Wicker et al., 2021); differentiable in the weights.

    Args:
        predictive: ensemble of a Sequential network that ends in a Linear layer.
        y: labels, shape (batch,).
        x: raw observations, shape (batch, x_dim).
        ball: admissible perturbations, raw units.

    Raises:
        ValueError: if an x lies outside the clip range.
    """
    classes = predictive(x[:1]).logits.shape[-1]
    identity = torch.eye(classes, dtype=x.dtype, device=x.device)
    _, upper = _bounds(predictive, identity - identity[y].unsqueeze(1), x, ball)
    return torch.logsumexp(-upper.logsumexp(-1), 0) - math.log(predictive.samples)


def _bounds(
    predictive: Predictive, coefficients: Tensor, x: Tensor, ball: Ball
) -> tuple[Tensor, Tensor]:
    bounds = interval_bounds_of_samples(
        predictive.network, predictive.weight_samples, BallAround(x, ball.to(x)), coefficients
    )
    return bounds.lower, bounds.upper
