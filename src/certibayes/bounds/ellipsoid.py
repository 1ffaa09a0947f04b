"""Ellipsoids with axes along the features, cut by a box: what l2 balls are inside a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.bounds.interval import Interval


@dataclass(frozen=True)
class Ellipsoid:
    """All t with sum_j ((t_j - center_j) / radius_j)^2 <= 1 that also lie in `box`.

    A radius of 0 fixes its feature.

    Attributes:
        center: shape (batch, *features).
        radius: semi-axes, >= 0, same shape.
        box: a box that holds the whole set; it contains the center.
        cut: whether `box` is smaller than the ellipsoid's own bounding box.
    """

    center: Tensor
    radius: Tensor
    box: Interval
    cut: bool

    def standardized(self, location: Tensor, scale: Tensor) -> Ellipsoid:
        """Return (t - location) / scale, scale > 0: again an ellipsoid, exactly."""
        box = self.box.standardized(location, scale)
        return Ellipsoid((self.center - location) / scale, self.radius / scale, box, self.cut)

    def scaled(self, factor: Tensor) -> Ellipsoid:
        """Return the products with a fixed factor of any sign: again an ellipsoid, exactly."""
        box = self.box.scaled(factor)
        return Ellipsoid(self.center * factor, self.radius * factor.abs(), box, self.cut)

    def __add__(self, shift: Tensor) -> Ellipsoid:
        """Return the sums with a fixed tensor."""
        return Ellipsoid(self.center + shift, self.radius, self.box + shift, self.cut)

    def asinh(self) -> Ellipsoid:
        """Return an ellipsoid around the image under the inverse hyperbolic sine.

        By the mean value theorem |asinh t_j - asinh c_j| <= s_j |t_j - c_j|, s_j the largest slope
        1 / sqrt(1 + t^2) over the box, so the semi-axes s_j radius_j hold the image.
        """
        slope = (1 + self.box.magnitude().lower.square()).rsqrt()
        return Ellipsoid(self.center.asinh(), slope * self.radius, self.box.asinh(), cut=True)

    def reshape(self, rearrange: Callable[[Tensor], Tensor]) -> Ellipsoid:
        """Return the ellipsoid with its features rearranged by a function, e.g. a flip."""
        box = self.box.reshape(rearrange)
        return Ellipsoid(rearrange(self.center), rearrange(self.radius), box, self.cut)


Region = Interval | Ellipsoid
"""A set of inputs, batch first."""


def safe_sqrt(square: Tensor) -> Tensor:
    """Return the square root of nonnegative numbers with gradient 0, not infinite, at 0."""
    positive = square > 0
    root = torch.where(positive, square, torch.ones_like(square)).sqrt()
    return torch.where(positive, root, torch.zeros_like(root))
