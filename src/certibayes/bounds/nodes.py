"""The kinds of nodes: affine, elementwise, sums, products, rearrangements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.bounds.ellipsoid import Region
from certibayes.bounds.graph import Node, is_shared, products, sum_features
from certibayes.bounds.interval import Interval

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Lines:
    """Two lines that enclose an elementwise function over an interval; tensors of one shape.

    lower_slope t + lower_offset <= f(t) <= upper_slope t + upper_offset.

    Attributes:
        increasing: whether no slope is negative, whatever the interval.
    """

    lower_slope: Tensor
    lower_offset: Tensor
    upper_slope: Tensor
    upper_offset: Tensor
    increasing: bool = False

    def of_sum(self, inner: Lines, shift: Tensor | float) -> Lines:
        """Return lines around f(g(t) + shift), both f and g increasing, `inner` those around g."""
        return Lines(
            self.lower_slope * inner.lower_slope,
            self.lower_slope * (inner.lower_offset + shift) + self.lower_offset,
            self.upper_slope * inner.upper_slope,
            self.upper_slope * (inner.upper_offset + shift) + self.upper_offset,
            increasing=True,
        )


class Affine(Node):
    """A fixed linear map of a node's features, plus a bias."""

    def __init__(
        self, parent: Node, region: Region, adjoint: Map, bias: Tensor | None, features: int = 1
    ) -> None:
        """Build the node.

        Args:
            parent: input of the map.
            region: holds all outputs.
            adjoint: the transposed map, from (*, *output features) to (*, *input features).
            bias: broadcastable to the output, or None.
            features: feature dimensions of the output.
        """
        super().__init__((parent,), region, features)
        self._adjoint = adjoint
        self._bias = bias

    def pull_back(self, coefficients: Tensor) -> tuple[tuple[Tensor, ...], Tensor | float]:
        """Apply the transposed map; exact."""
        offset: Tensor | float = 0.0
        if self._bias is not None:
            offset = products(coefficients, self._bias, self.features)
        return (self._adjoint(coefficients),), offset


class Elementwise(Node):
    """A function of every entry by itself, enclosed by two lines.

    Attributes:
        lines: around the function.
    """

    def __init__(self, parent: Node, region: Region, lines: Lines) -> None:
        super().__init__((parent,), region, parent.features)
        self.lines = lines

    def pull_back(self, coefficients: Tensor) -> tuple[tuple[Tensor, ...], Tensor | float]:
        """Use the lower line where a coefficient is positive, the upper one where it is not."""
        lines, positive = self.lines, coefficients > 0
        pulled = coefficients * torch.where(positive, lines.lower_slope, lines.upper_slope)
        if is_shared(coefficients, lines.lower_offset, self.features):
            below = products(coefficients.clamp(min=0), lines.lower_offset, 1)
            return (pulled,), below + products(coefficients.clamp(max=0), lines.upper_offset, 1)
        offset = coefficients * torch.where(positive, lines.lower_offset, lines.upper_offset)
        return (pulled,), sum_features(offset, self.features)


class Sum(Node):
    """The sum of nodes with equal features."""

    def __init__(self, *parents: Node) -> None:
        total = parents[0].interval
        for parent in parents[1:]:
            total = total + parent.interval
        super().__init__(parents, total, parents[0].features)

    def pull_back(self, coefficients: Tensor) -> tuple[tuple[Tensor, ...], Tensor | float]:
        """Hand the coefficients to every summand; exact."""
        return (coefficients,) * len(self.parents), 0.0


class Shifted(Node):
    """A node plus a fixed tensor, which may add leading dimensions.

    Attributes:
        constant: the tensor.
    """

    def __init__(self, parent: Node, constant: Tensor) -> None:
        """Build the node.

        Args:
            parent: what is shifted.
            constant: by how much, broadcastable to the values.
        """
        self.constant = constant
        super().__init__((parent,), self.shift(parent.interval), parent.features)

    def shift(self, bounds: Interval) -> Interval:
        """Return bounds of the node from bounds of what is shifted."""
        return bounds + self.constant

    def pull_back(self, coefficients: Tensor) -> tuple[tuple[Tensor, ...], Tensor | float]:
        """Move the constant into the offset; exact."""
        return (coefficients,), products(coefficients, self.constant, self.features)


class Scaled(Node):
    """A node times a fixed tensor, which may add leading dimensions."""

    def __init__(self, parent: Node, factor: Tensor) -> None:
        super().__init__((parent,), parent.interval.scaled(factor), parent.features)
        self._factor = factor

    def pull_back(self, coefficients: Tensor) -> tuple[tuple[Tensor, ...], Tensor | float]:
        """Multiply the coefficients by the factor; exact."""
        return (coefficients * self._factor,), 0.0


class Product(Node):
    """The product of two nodes, entry by entry.

    With centers (a, b) and radii (r, s) of the factors, |(u - a)(v - b)| <= r s, hence
    u v lies within r s of b u + a v - a b: the mean of McCormick's two planes (1976).
    """

    def __init__(self, one: Node, other: Node) -> None:
        super().__init__((one, other), one.interval * other.interval, one.features)

    def pull_back(self, coefficients: Tensor) -> tuple[tuple[Tensor, ...], Tensor | float]:
        """Linearize at the centers."""
        one, other = (parent.interval for parent in self.parents)
        gap = coefficients.abs() * (one.radius * other.radius)
        offset = -(coefficients * (one.center * other.center)) - gap
        pulled = (coefficients * other.center, coefficients * one.center)
        return pulled, sum_features(offset, self.features)


class Total(Node):
    """The sum of a node's features: one number per observation (and lead)."""

    def __init__(self, parent: Node) -> None:
        bounds = parent.interval
        dims = parent.features
        total = Interval(sum_features(bounds.lower, dims), sum_features(bounds.upper, dims))
        super().__init__((parent,), total, 0)
        self._ones = parent.features

    def pull_back(self, coefficients: Tensor) -> tuple[tuple[Tensor, ...], Tensor | float]:
        """Give every feature the coefficient of the sum; exact."""
        shape = (*coefficients.shape, *self.parents[0].feature_shape)
        return (coefficients[(..., *(None,) * self._ones)].expand(shape),), 0.0


class Rearranged(Node):
    """A node with its features rearranged, e.g. flattened or reversed."""

    def __init__(self, parent: Node, region: Region, adjoint: Map, features: int) -> None:
        """Build the node.

        Args:
            parent: what is rearranged.
            region: the rearranged region.
            adjoint: puts the features of (*, *output features) back into place.
            features: feature dimensions after the rearrangement.
        """
        super().__init__((parent,), region, features)
        self._adjoint = adjoint

    def pull_back(self, coefficients: Tensor) -> tuple[tuple[Tensor, ...], Tensor | float]:
        """Rearrange back; exact."""
        return (self._adjoint(coefficients),), 0.0


def function_of(node: Node, region: Region, lines: Lines) -> Elementwise:
    """Return an elementwise function of a node, with an increasing one below folded into it.

    For increasing functions lines around f(g(t) + shift) follow from those around f and g, and are
    what any backward pass gets from passing both. They are folded where a pass comes for every
    feature above, with tightening.

    Args:
        node: argument of the function.
        region: holds its values.
        lines: around it over the node's interval.
    """
    below = node.parents[0] if isinstance(node, Shifted) else node
    if not (node.tightening and lines.increasing and isinstance(below, Elementwise)):
        return Elementwise(node, region, lines)
    if not below.lines.increasing:
        return Elementwise(node, region, lines)
    shift = node.constant if isinstance(node, Shifted) else 0.0
    return Elementwise(below.parents[0], region, lines.of_sum(below.lines, shift))
