"""Rules of pooling layers: non-decreasing in every input, so that ends map to ends."""

from __future__ import annotations

import math

from torch import nn

from certibayes.bounds.ellipsoid import Region, safe_sqrt
from certibayes.bounds.interval import Interval
from certibayes.bounds.rules import require_dims, rule

SPATIAL: dict[type[nn.Module], int] = {
    nn.AvgPool1d: 1,
    nn.MaxPool1d: 1,
    nn.AvgPool2d: 2,
    nn.MaxPool2d: 2,
}


@rule(nn.AvgPool1d, nn.AvgPool2d)
def average_pool(module: nn.AvgPool1d | nn.AvgPool2d, region: Region) -> Interval:
    """Bound means over windows, exactly for each output by itself.

    Over an ellipsoid the radius of a mean of n entries is sqrt(sum_j r_j^2) / n. Where windows at
    the border count fewer entries (`ceil_mode`, `count_include_pad=False`), the ends of the
    ellipsoid's box are used: sound, not attained.
    """
    require_dims(module, region, spatial_dims(module) + 2)
    ends = region.box.increasing(module.__call__)
    padded = any(entries(module.padding, spatial_dims(module)))
    if isinstance(region, Interval) or module.ceil_mode:
        return ends
    if padded and not module.count_include_pad:
        return ends
    kernel = entries(module.kernel_size, spatial_dims(module))
    divisor = getattr(module, "divisor_override", None) or math.prod(kernel)
    square = module(region.radius.square()) / divisor
    return ends.intersect(Interval.around(module(region.center), safe_sqrt(square)))


@rule(nn.MaxPool1d, nn.MaxPool2d)
def max_pool(module: nn.MaxPool1d | nn.MaxPool2d, region: Region) -> Interval:
    """Bound largest entries of windows by the largest ends, which a box attains.

    Raises:
        ValueError: if the module returns indices too.
    """
    if module.return_indices:
        raise ValueError("return_indices: got True; allowed: False")
    require_dims(module, region, spatial_dims(module) + 2)
    return region.box.increasing(module.__call__)


def spatial_dims(module: nn.Module) -> int:
    """Return how many dimensions a pooling layer's windows have."""
    return next(dims for kind, dims in SPATIAL.items() if isinstance(module, kind))


def entries(setting: int | tuple[int, ...], spatial: int) -> tuple[int, ...]:
    """Return a setting of torch's, one number or one per dimension, as one per dimension."""
    return (setting,) * spatial if isinstance(setting, int) else tuple(setting)
