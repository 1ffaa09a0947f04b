"""The kinds of nodes: affine, elementwise, sums, products, rearrangements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from certibayes.bounds.ellipsoid import Region
from certibayes.bounds.graph import Node, sum_features
from certibayes.bounds.interval import Interval

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Lines:
    """Two lines that enclose an elementwise function over an interval; tensors of one shape.

    lower_slope t + lower_offset <= f(t) <= upper_slope t + upper_offset.
    """

    lower_slope: Tensor
    lower_offset: Tensor
    upper_slope: Tensor
    upper_offset: Tensor


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
            offset = sum_features(coefficients * self._bias, self.features)
        return (self._adjoint(coefficients),), offset


class Elementwise(Node):
    """A function of every entry by itself, enclosed by two lines."""

    def __init__(self, parent: Node, region: Region, lines: Lines) -> None:
        super().__init__((parent,), region, parent.features)
        self._lines = lines

    def pull_back(self, coefficients: Tensor) -> tuple[tuple[Tensor, ...], Tensor | float]:
        """Use the lower line where a coefficient is positive, the upper one where it is not."""
        positive, negative = coefficients.clamp(min=0), coefficients.clamp(max=0)
        lines = self._lines
        pulled = positive * lines.lower_slope + negative * lines.upper_slope
        offset = positive * lines.lower_offset + negative * lines.upper_offset
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
    """A node plus a fixed tensor, which may add leading dimensions."""

    def __init__(self, parent: Node, constant: Tensor) -> None:
        self._constant = constant
        super().__init__((parent,), self.shift(parent.interval), parent.features)

    def shift(self, bounds: Interval) -> Interval:
        """Return bounds of the node from bounds of what is shifted."""
        return bounds + self._constant

    def pull_back(self, coefficients: Tensor) -> tuple[tuple[Tensor, ...], Tensor | float]:
        """Move the constant into the offset; exact."""
        return (coefficients,), sum_features(coefficients * self._constant, self.features)


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
