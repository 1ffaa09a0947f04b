"""Regularizers of the warm-up in certified training (Shi et al., 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from certibayes.attacks.base import ConditionalModel
from certibayes.bnn.predictive import Predictive
from certibayes.bounds.ball import BallAround
from certibayes.bounds.ellipsoid import Region
from certibayes.bounds.rules import propagate
from certibayes.threat import Ball

TOLERANCE = 0.5
"""Ratios above it cost nothing."""
SMALLEST = 1e-12


def warmup_penalty(model: ConditionalModel, x: Tensor, ball: Ball) -> Tensor:
    """Return how far bounds widen and how unevenly units switch, shape (batch,), about 0 to 3.

    The mean over all ReLU layers i and weight samples of

        (t - r_0 / r_i)+ / t + (t - b(a_i, n_i))+ / t + (t - b(v_i, w_i))+ / t,  t = 0.5,

    with r_0 and r_i the mean radius of the interval bounds of x' and of the layer's inputs, a_i and
    n_i the sums of |center| over units that are surely on and surely off, v_i and w_i the sums of
    (center - mean center)^2 over them, and b(p, q) = min(p, q) / max(p, q). Means and sums are over
    the units of one example, in the published form over a batch.

    Args:
        model: predictive of a Sequential network.
        x: raw observations inside the clip range, shape (batch, x_dim).
        ball: admissible perturbations at the present radius, above 0.

    Raises:
        TypeError: if the model is no such predictive.
    """
    if not isinstance(model, Predictive) or not isinstance(model.network, nn.Sequential):
        raise TypeError(
            f"model: got {type(model).__name__}; allowed with warmup_weight: Predictive of a "
            "Sequential"
        )
    penalty = _Penalty(model.network, BallAround(x, ball.to(x)).region())
    of_samples = [
        functional_call(penalty, _named(model.weights(sample)), ())
        for sample in range(model.samples)
    ]
    return torch.stack(of_samples).mean(0)


class _Penalty(nn.Module):
    """Makes bounds a forward pass, so that functional_call can replace the weights."""

    def __init__(self, network: nn.Sequential, region: Region) -> None:
        super().__init__()
        self.network = network
        self.region = region

    def forward(self) -> Tensor:
        region = self.region
        first = region.box.radius.flatten(1).mean(1)
        layers = []
        for layer in self.network:
            if isinstance(layer, nn.ReLU):
                layers.append(_of_layer(region, first))
            region = propagate(layer, region)
        return torch.stack(layers).mean(0) if layers else torch.zeros_like(first)


def _of_layer(region: Region, first: Tensor) -> Tensor:
    lower, upper = region.box.lower.flatten(1), region.box.upper.flatten(1)
    center, radius = (lower + upper) / 2, (upper - lower).mean(1) / 2
    on, off = lower > 0, upper < 0
    spread = (center - center.mean(1, keepdim=True)).square()
    return (
        _short(first / radius.clamp(min=SMALLEST))
        + _short(_balance((center * on).sum(1), -(center * off).sum(1)))
        + _short(_balance((spread * on).sum(1), (spread * off).sum(1)))
    )


def _short(ratio: Tensor) -> Tensor:
    return (TOLERANCE - ratio).clamp(min=0) / TOLERANCE


def _balance(one: Tensor, other: Tensor) -> Tensor:
    """Return the smaller over the larger; 1 where both vanish: no unit is surely anything."""
    larger = torch.maximum(one, other)
    ratio = torch.minimum(one, other) / larger.clamp(min=SMALLEST)
    return torch.where(larger > SMALLEST, ratio, torch.ones_like(ratio))


def _named(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"network.{name}": value for name, value in weights.items()}
