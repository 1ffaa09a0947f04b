"""Rules of elementwise, non-decreasing activations: the image of a box is a box, exactly."""

from __future__ import annotations

from torch import nn

from certibayes.bounds.ellipsoid import Region
from certibayes.bounds.interval import Interval
from certibayes.bounds.rules import rule


@rule(nn.ReLU, nn.Tanh, nn.Sigmoid, nn.Softplus)
def monotone(module: nn.Module, region: Region) -> Interval:
    """Apply the activation to both ends."""
    return region.box.increasing(module.__call__)


@rule(nn.LeakyReLU)
def leaky_relu(module: nn.LeakyReLU, region: Region) -> Interval:
    """Apply the activation to both ends.

    Raises:
        ValueError: if the negative slope is below 0: the activation then is not monotone.
    """
    if module.negative_slope < 0:
        raise ValueError(f"negative_slope: got {module.negative_slope}; allowed: >= 0")
    return monotone(module, region)
