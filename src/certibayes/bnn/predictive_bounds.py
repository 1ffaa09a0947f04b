"""Interval bounds of the likelihood of a fixed, finite ensemble of weight vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from certibayes.bnn.predictive import Predictive
from certibayes.bounds import BallAround, interval_bounds_of_samples
from certibayes.threat import Ball

SHARED_CLASSES = 100
"""Up to so many classes one product with the differences of all pairs costs less than a matrix of
its own for every image."""


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
    region = BallAround(x, ball.to(x))
    if classes > SHARED_CLASSES:
        upper = _upper(predictive, differences(y, classes, x), region)
    else:
        of_all_pairs = _upper(predictive, class_pairs(classes, x).flatten(0, 1), region)
        chosen = torch.arange(len(y), device=y.device)
        upper = of_all_pairs.unflatten(-1, (classes, classes))[:, chosen, y]
    return torch.logsumexp(-upper.logsumexp(-1), 0) - math.log(predictive.samples)


def differences(labels: Tensor, classes: int, like: Tensor) -> Tensor:
    """Return e_j - e_y at [i, j], y the label of example i, shape (batch, classes, classes)."""
    identity = torch.eye(classes, dtype=like.dtype, device=like.device)
    return identity - identity[labels].unsqueeze(1)


def class_pairs(classes: int, like: Tensor) -> Tensor:
    """Return e_j - e_k at [k, j], shape (classes, classes, classes)."""
    return differences(torch.arange(classes, device=like.device), classes, like)


def _upper(predictive: Predictive, coefficients: Tensor, region: BallAround) -> Tensor:
    return interval_bounds_of_samples(
        predictive.network, predictive.weight_samples, region, coefficients
    ).upper
