"""Rules of modules that only arrange others or rearrange entries."""

from __future__ import annotations

from torch import nn

from certibayes.bounds.ellipsoid import Region
from certibayes.bounds.interval import Interval
from certibayes.bounds.rules import feature_dim, propagate, rule
from certibayes.networks.residual import Residual


@rule(nn.Sequential)
def sequential(module: nn.Sequential, region: Region) -> Region:
    """Apply the rules one after the other."""
    for layer in module:
        region = propagate(layer, region)
    return region


@rule(Residual)
def residual(module: Residual, region: Region) -> Interval:
    """Add the bounds of t and of body(t).

    Raises:
        ValueError: if the body changes the shape.
    """
    before, inside = region.box, propagate(module.body, region).box
    module.require_shape(before.lower, inside.lower)
    return before + inside


@rule(nn.Flatten)
def flatten(module: nn.Flatten, region: Region) -> Region:
    """Flatten the ends.

    Raises:
        ValueError: if the batch dimension would be flattened too.
    """
    if module.start_dim != 1:
        raise ValueError(f"start_dim: got {module.start_dim}; allowed: 1, batch stays first")
    return region.reshape(module.__call__)


@rule(nn.Unflatten)
def unflatten(module: nn.Unflatten, region: Region) -> Region:
    """Unflatten the ends.

    Raises:
        ValueError: if the batch dimension would be unflattened.
    """
    feature_dim(module, int(module.dim), region.box.lower.dim())
    return region.reshape(module.__call__)


@rule(nn.Identity)
def identity(module: nn.Identity, region: Region) -> Region:
    """Return the region unchanged."""
    return region
