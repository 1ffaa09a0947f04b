"""Rules of elementwise, non-decreasing activations: the image of a box is a box, exactly."""

from __future__ import annotations

import math

from torch import nn

from certibayes.bounds.ellipsoid import Region
from certibayes.bounds.interval import Interval
from certibayes.bounds.rules import rule

SOFTPLUS_ERROR = 1e-8
"""How far torch's softplus, linear above its threshold, may lie from log(1 + exp(beta t)) / beta;
the default is off by 2e-9. Bounds are sound up to it."""


@rule(nn.ReLU, nn.Tanh, nn.Sigmoid)
def monotone(module: nn.Module, region: Region) -> Interval:
    """Apply the activation to both ends."""
    return region.box.increasing(module.__call__)


@rule(nn.Softplus)
def softplus(module: nn.Softplus, region: Region) -> Interval:
    """Apply the activation to both ends.

    Raises:
        ValueError: if beta is not positive, or the threshold so low that the activation drops
            there by more than 1e-8.
    """
    if module.beta <= 0:
        raise ValueError(f"beta: got {module.beta}; allowed: > 0")
    drop = math.inf if module.threshold < 0 else math.log1p(math.exp(-module.threshold))
    if drop > SOFTPLUS_ERROR * module.beta:
        raise ValueError(
            f"threshold: got {module.threshold} with beta {module.beta}; allowed: so high that "
            f"log1p(exp(-threshold)) / beta <= {SOFTPLUS_ERROR}"
        )
    return monotone(module, region)


@rule(nn.LeakyReLU)
def leaky_relu(module: nn.LeakyReLU, region: Region) -> Interval:
    """Apply the activation to both ends.

    Raises:
        ValueError: if the negative slope is below 0: the activation then is not monotone.
    """
    if module.negative_slope < 0:
        raise ValueError(f"negative_slope: got {module.negative_slope}; allowed: >= 0")
    return monotone(module, region)
