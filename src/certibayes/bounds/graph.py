"""Functions of a perturbed input as a graph of nodes that linear bounds are pulled back through."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import count

import torch
from torch import Tensor

from certibayes.bounds.ellipsoid import Region
from certibayes.bounds.interval import Interval

_CREATED = count()


class Node(ABC):
    """A tensor that depends on the perturbed input x'.

    A value has shape (*lead, batch, *features): `lead` counts what is bounded beside each other,
    e.g. draws of theta, and may be empty.

    Attributes:
        parents: nodes that the value is computed from.
        region: a set that holds every value over the input region.
        features: number of feature dimensions, 1 for vectors, 0 for one number per observation.
        order: creation order; parents come before children.
        tight: whether the region has been tightened already.
        tightening: whether the input of every nonlinear node gets linear bounds ("CROWN"), not
            only the intervals that its parents gave ("CROWN-IBP").
    """

    tightening: bool

    def __init__(self, parents: tuple[Node, ...], region: Region, features: int) -> None:
        self.parents = parents
        self.region = region
        self.features = features
        self.order = next(_CREATED)
        self.tight = False
        if parents:
            self.tightening = parents[0].tightening

    @property
    def interval(self) -> Interval:
        """A box that holds every value, shape (*lead, batch, *features)."""
        return self.region.box

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Sizes of the feature dimensions."""
        shape = tuple(self.interval.lower.shape)
        return shape[len(shape) - self.features :]

    @abstractmethod
    def pull_back(self, coefficients: Tensor) -> tuple[tuple[Tensor, ...], Tensor | float]:
        """Bound sum(coefficients * value) from below by linear functions of the parents' values.

        Args:
            coefficients: shape (*front, *lead, batch, *features); all leading dimensions are
                those of the node whose bound is wanted.

        Returns:
            Coefficients on each parent, same leading dimensions with the parent's features, and
            the offset, broadcastable to the leading dimensions.
        """


class Input(Node):
    """The perturbed input itself."""

    def __init__(self, region: Region, tightening: bool, remember: bool = False) -> None:
        """Build the node.

        Args:
            region: of the input, shape (batch, *features).
            tightening: see `Node`.
            remember: whether `once` keeps what it builds, for several graphs of one input.
        """
        super().__init__((), region, region.box.lower.dim() - 1)
        self.tightening = tightening
        self._remember = remember
        self._built: dict[int, tuple[object, Node]] = {}

    def once(self, owner: object, build: Callable[[], Node]) -> Node:
        """Return a node that depends on this input and its owner alone, e.g. not on any theta.

        Args:
            owner: of the weights that the node is built from, told apart by identity.
            build: builds the node; called once for every owner if the input remembers.
        """
        if not self._remember:
            return build()
        if id(owner) not in self._built:
            self._built[id(owner)] = (owner, build())
        return self._built[id(owner)][1]

    def pull_back(self, coefficients: Tensor) -> tuple[tuple[Tensor, ...], Tensor | float]:
        """Return no parents: the coefficients on x' are the result."""
        return (), 0.0


def sum_features(values: Tensor, features: int) -> Tensor:
    """Return the sums over the last `features` dimensions."""
    return values.sum(tuple(range(-features, 0))) if features else values


def is_shared(coefficients: Tensor, values: Tensor, features: int) -> bool:
    """Tell whether coefficients differ in their first dimension and one of features alone.

    Args:
        coefficients: shape (front, *, features).
        values: what they are multiplied with, fewer dimensions.
        features: feature dimensions of both.
    """
    middle = coefficients.shape[1:-1]
    return features == 1 and coefficients.dim() > values.dim() and middle.numel() == 1


def products(coefficients: Tensor, values: Tensor, features: int) -> Tensor:
    """Return the sums of coefficients * values, broadcast, over the last `features` dimensions.

    One matrix product where either is the same for everything in front of the features.
    """
    if features != 1 or values.shape[-1:] != coefficients.shape[-1:]:
        return sum_features(coefficients * values, features)
    if values.dim() <= coefficients.dim() and values.numel() == values.shape[-1]:
        return coefficients @ values.flatten()
    if not is_shared(coefficients, values, features):
        return sum_features(coefficients * values, features)
    rows = coefficients.flatten(0, -2)
    summed = torch.tensordot(rows, values, dims=([1], [-1]))
    missing = coefficients.dim() - 1 - values.dim()
    return summed.view(len(rows), *(1,) * missing, *values.shape[:-1])
