"""Linear bounds of the predictive of a fixed, finite ensemble of weight vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.func import functional_call

from certibayes.bnn.predictive import Predictive
from certibayes.bnn.predictive_bounds import differences
from certibayes.bounds.ball import BallAround
from certibayes.bounds.ellipsoid import Region
from certibayes.bounds.folded_linear import largest_folded
from certibayes.threat import Ball


def log_likelihood_linear_lower(predictive: Predictive, y: Tensor, x: Tensor, ball: Ball) -> Tensor:
    """Return a lower bound of log p(y | x') over the ball, shape (batch,).

    As `log_likelihood_lower`, with the differences of logits bounded linearly; never below it.
    Differentiable in the weights; one weight sample after the other.

    Args:
        predictive: ensemble of a Sequential network that ends in a Linear layer.
        y: labels, shape (batch,).
        x: raw observations, shape (batch, x_dim).
        ball: admissible perturbations, raw units.

    Raises:
        ValueError: if an x lies outside the clip range.
        TypeError: if the network has a module without linear bounds.
    """
    classes = predictive(x[:1]).logits.shape[-1]
    region = BallAround(x, ball.to(x)).region()
    margins = _Margins(predictive.network, differences(y, classes, x), region)
    lower = [
        -functional_call(margins, _named(predictive.weights(sample)), ()).logsumexp(-1)
        for sample in range(predictive.samples)
    ]
    return torch.logsumexp(torch.stack(lower), 0) - math.log(predictive.samples)


class _Margins(nn.Module):
    """Makes bounds a forward pass, so that functional_call can replace the weights."""

    def __init__(self, network: nn.Module, coefficients: Tensor, region: Region) -> None:
        super().__init__()
        self.network = network
        self.coefficients = coefficients
        self.region = region

    def forward(self) -> Tensor:
        return largest_folded(self.network, self.coefficients, self.region)


def _named(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"network.{name}": value for name, value in weights.items()}
