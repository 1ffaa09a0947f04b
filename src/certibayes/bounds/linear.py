"""Linear bounds: pull functionals of a node back to the input, then take the worst input."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.bounds.ellipsoid import Region, safe_sqrt
from certibayes.bounds.graph import Input, Node, products, sum_features
from certibayes.bounds.interval import Interval

ENTRIES_AT_ONCE = 2**24
"""Most coefficients of a tensor in a backward pass for all entries of a node."""
ENTRIES_IN_CACHE = 2**16
"""The same on a CPU, where larger tensors leave its caches: measured, four times as slow."""


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
        reach = products(coefficients.abs(), region.radius, features)
        return products(coefficients, region.center, features) - reach
    square = sum_features((coefficients * region.radius).square(), features)
    least = products(coefficients, region.center, features) - safe_sqrt(square)
    return torch.maximum(least, least_product(coefficients, region.box)) if region.cut else least


def lower_form(node: Node, coefficients: Tensor) -> LinearForm:
    """Bound sum(coefficients * value) from below by a linear function of x' (Zhang et al., 2018).

    Args:
        node: a function of the input.
        coefficients: shape (*front, *lead, batch, *features of the node); dimensions of size 1
            that are broadcast stay so until a node tells their entries apart.
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

    One backward pass per feature and end, in blocks of bounded memory. The passes start alike for
    everything in front of the features: what is not yet different is computed once.
    """
    if isinstance(node, Input):
        return node.interval
    bounds = node.interval
    lead = bounds.lower.shape[: bounds.lower.dim() - node.features]
    size = math.prod(node.feature_shape)
    entries = ENTRIES_IN_CACHE if bounds.lower.device.type == "cpu" else ENTRIES_AT_ONCE
    block = max(1, entries // max(1, lead.numel() * _widest(node)))
    parts = []
    for rows in _units(size, block, bounds.lower):
        start = rows.view(len(rows), *(1,) * len(lead), *node.feature_shape)
        parts.append(lower_form(node, start).minimum().expand(len(rows), *lead))
    least = torch.cat(parts)
    linear = Interval(_last(least[:size], node), _last(-least[size:], node))
    return bounds.intersect(linear)


def _units(size: int, block: int, like: Tensor) -> Iterator[Tensor]:
    """Yield the rows of an identity matrix, then their negatives, at most a block at a time."""
    for places in torch.arange(2 * size, device=like.device).split(block):
        rows = (places.unsqueeze(-1) % size == torch.arange(size, device=like.device)).to(like)
        yield torch.where(places.unsqueeze(-1) < size, rows, -rows)


def _widest(node: Node) -> int:
    """Return the most features of any node that a backward pass from this one comes through."""
    waiting, found = [node], {node.order: math.prod(node.feature_shape)}
    while waiting:
        for parent in waiting.pop().parents:
            if parent.order not in found:
                found[parent.order] = math.prod(parent.feature_shape)
                waiting.append(parent)
    return max(found.values())


def _last(values: Tensor, node: Node) -> Tensor:
    """Move the first dimension, one entry per feature, to the end as features."""
    moved = values.movedim(0, -1)
    return moved.reshape(*moved.shape[:-1], *node.feature_shape)
