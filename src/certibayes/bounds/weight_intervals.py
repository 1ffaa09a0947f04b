"""Interval bounds of a network whose weights lie in a box."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from certibayes.bounds.ellipsoid import Region
from certibayes.bounds.interval import Interval
from certibayes.bounds.rules import propagate


def rivals_over_weights(
    center: nn.Sequential, radius: nn.Sequential, y: Tensor, region: Region
) -> Tensor:
    """Bound max over k != y of z_k - z_y over all x' and all weights of a box, shape (batch,).

    A linear layer or convolution with weights W_c + D, |D| <= W_r, maps t with |t| <= m to
    W_c t + b_c, bounded by its rule, plus D t + d, |D t + d| <= W_r m + b_r. Differences of logits
    are those of rows of the last layer, whose radii add up. Infinite or NaN bounds become inf.

    Args:
        center: a Sequential that ends in nn.Linear, with the weights of the box's center.
        radius: the same with the half widths of the box, >= 0, as weights.
        y: labels, shape (batch,).
        region: inputs, shape (batch, *features).

    Raises:
        TypeError: if another layer than these has weights, or has no bound rule.
    """
    *layers, last = zip(center, radius, strict=True)
    for middle, half in layers:
        region = _over_weights(middle, half, region)
    middle, half = last
    if type(middle) is not nn.Linear or type(half) is not nn.Linear:
        raise TypeError(f"network: got {type(middle).__qualname__} last; allowed: Linear")
    own, other = middle.weight[y].unsqueeze(1), middle.weight
    rows = other - own
    box = region.box
    upper = (rows @ box.center.unsqueeze(-1)).squeeze(-1)
    upper = upper + (rows.abs() @ box.radius.unsqueeze(-1)).squeeze(-1)
    spread = _largest(box) @ half.weight.T
    if middle.bias is not None and half.bias is not None:
        upper = upper + middle.bias - middle.bias[y].unsqueeze(1)
        spread = spread + half.bias
    upper = upper + spread + spread.gather(1, y.unsqueeze(1))
    worst = upper.scatter(1, y.unsqueeze(1), -torch.inf).amax(1)
    return torch.where(worst.isnan(), torch.inf, worst)


def _over_weights(center: nn.Module, radius: nn.Module, region: Region) -> Region:
    found = propagate(center, region)
    if not any(True for _ in center.parameters()):
        return found
    if not isinstance(center, nn.Linear | nn.Conv2d):
        raise TypeError(
            f"network: got weights in {type(center).__qualname__}; allowed: Linear, Conv2d"
        )
    spread: Tensor = radius(_largest(region.box))
    return Interval(found.box.lower - spread, found.box.upper + spread)


def _largest(box: Interval) -> Tensor:
    """Return the largest absolute value of every entry."""
    return torch.maximum(box.lower.abs(), box.upper.abs())
