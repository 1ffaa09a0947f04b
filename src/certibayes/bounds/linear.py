"""Linear bounds: pull functionals of a node back to the input, then take the worst input."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.bounds.ellipsoid import Region, safe_sqrt
from certibayes.bounds.graph import Input, Node, sum_features
from certibayes.bounds.interval import Interval

ENTRIES_AT_ONCE = 2**24


@dataclass(frozen=True)
class LinearForm:
    """coefficients . x' + offset, a bound of a functional that holds for every x' of the region.

    Attributes:
        coefficients: shape (*lead, batch, *features of x).
        offset: shape (*lead, batch).
        magnitude: sum of the sizes of everything that was added up to the offset, shape of the
            offset; rounding is some 1e-16 of it.
        input: the node of x'.
    """

    coefficients: Tensor
    offset: Tensor
    magnitude: Tensor
    input: Input

    def minimum(self) -> Tensor:
        """Return the smallest value over the region, shape (*lead, batch)."""
        return self.offset + least_product(self.coefficients, self.input.region)


def least_product(coefficients: Tensor, region: Region) -> Tensor:
    """Return the minimum of coefficients . t over a region, shape (*lead, batch).

    a . c - sum |a_j| r_j over a box, a . c - sqrt(sum (a_j r_j)^2) over an ellipsoid (both are
    attained), and the larger of the two over an ellipsoid cut by a box.

    Args:
        coefficients: shape (*lead, batch, *features).
        region: inputs, shape (batch, *features).
    """
    features = region.box.lower.dim() - 1
    if isinstance(region, Interval):
        reach = sum_features(coefficients.abs() * region.radius, features)
        return sum_features(coefficients * region.center, features) - reach
    square = sum_features((coefficients * region.radius).square(), features)
    least = sum_features(coefficients * region.center, features) - safe_sqrt(square)
    return torch.maximum(least, least_product(coefficients, region.box)) if region.cut else least


def lower_form(node: Node, coefficients: Tensor) -> LinearForm:
    """Bound sum(coefficients * value) from below by a linear function of x' (Zhang et al., 2018).

    Args:
        node: a function of the input.
        coefficients: shape (*front, *lead, batch, *features of the node).
    """
    waiting: dict[int, tuple[Node, Tensor]] = {node.order: (node, coefficients)}
    offset = coefficients.new_zeros(coefficients.shape[: coefficients.dim() - node.features])
    magnitude = offset
    while True:
        current, pulled = waiting.pop(max(waiting))
        if isinstance(current, Input):
            assert not waiting, "a graph has one input"
            return LinearForm(pulled, offset, magnitude, current)
        parts, more = current.pull_back(pulled)
        offset = offset + more
        magnitude = magnitude + torch.as_tensor(more).abs()
        for parent, part in zip(current.parents, parts, strict=True):
            before = waiting.get(parent.order)
            waiting[parent.order] = (parent, part if before is None else before[1] + part)


def linear_interval(node: Node) -> Interval:
    """Return bounds of every entry of a node by linear bounds, never wider than its interval.

    One backward pass per feature and end, in blocks of bounded memory.
    """
    if isinstance(node, Input):
        return node.interval
    bounds = node.interval
    lead = bounds.lower.shape[: bounds.lower.dim() - node.features]
    size = math.prod(node.feature_shape)
    unit = torch.eye(size).to(bounds.lower).view(size, *(1,) * len(lead), *node.feature_shape)
    block = max(1, ENTRIES_AT_ONCE // max(1, bounds.lower.numel()))
    lowers, uppers = [], []
    for rows in unit.split(block):
        expanded = rows.expand(len(rows), *lead, *node.feature_shape)
        lowers.append(lower_form(node, expanded).minimum())
        uppers.append(-lower_form(node, -expanded).minimum())
    linear = Interval(_last(torch.cat(lowers), node), _last(torch.cat(uppers), node))
    return bounds.intersect(linear)


def _last(values: Tensor, node: Node) -> Tensor:
    """Move the first dimension, one entry per feature, to the end as features."""
    moved = values.movedim(0, -1)
    return moved.reshape(*moved.shape[:-1], *node.feature_shape)
