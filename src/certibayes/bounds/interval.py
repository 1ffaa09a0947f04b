"""Intervals of tensors and their algebra."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Interval:
    """All tensors t with lower <= t <= upper, elementwise (Moore, 1966).

    Every operation returns an interval that contains the results for all members; of operations
    on two intervals, the members vary independently.

    Attributes:
        lower: lower ends, any shape.
        upper: upper ends, same shape.
    """

    lower: Tensor
    upper: Tensor

    def __post_init__(self) -> None:
        if self.lower.shape != self.upper.shape:
            raise ValueError(
                f"upper: got shape {tuple(self.upper.shape)}; "
                f"allowed: the shape of lower, {tuple(self.lower.shape)}"
            )

    @classmethod
    def point(cls, value: Tensor) -> Interval:
        """Return the interval that holds one tensor."""
        return cls(value, value)

    @classmethod
    def around(cls, center: Tensor, radius: Tensor) -> Interval:
        """Return [center - radius, center + radius]; radius >= 0, shapes broadcast."""
        return cls(center - radius, center + radius)

    @property
    def box(self) -> Interval:
        """The interval itself: every region has a bounding box."""
        return self

    @property
    def center(self) -> Tensor:
        """Midpoints, (lower + upper) / 2."""
        return (self.lower + self.upper) / 2

    @property
    def radius(self) -> Tensor:
        """Half widths, (upper - lower) / 2."""
        return (self.upper - self.lower) / 2

    @property
    def width(self) -> Tensor:
        """Widths, upper - lower."""
        return self.upper - self.lower

    def require_ordered(self, tolerance: float = 1e-9) -> None:
        """Raise ValueError where lower exceeds upper by more than a tolerance, or is NaN."""
        ordered = self.lower <= self.upper + tolerance
        if not bool(ordered.all()):
            where = [int(i) for i in (~ordered).nonzero()[0]]
            raise ValueError(f"interval: lower above upper at {where}; allowed: lower <= upper")

    def contains(self, value: Tensor, tolerance: float = 0.0) -> Tensor:
        """Tell elementwise whether a tensor lies inside, up to an absolute tolerance; bool."""
        return (value >= self.lower - tolerance) & (value <= self.upper + tolerance)

    def __add__(self, other: Interval | Tensor | float) -> Interval:
        """Return the sums."""
        if isinstance(other, Interval):
            return Interval(self.lower + other.lower, self.upper + other.upper)
        return Interval(self.lower + other, self.upper + other)

    def __neg__(self) -> Interval:
        """Return the negatives."""
        return Interval(-self.upper, -self.lower)

    def __sub__(self, other: Interval | Tensor | float) -> Interval:
        """Return the differences."""
        return self + (-other)

    def __mul__(self, other: Interval) -> Interval:
        """Return the products."""
        products = (
            self.lower * other.lower,
            self.lower * other.upper,
            self.upper * other.lower,
            self.upper * other.upper,
        )
        lower = torch.minimum(torch.minimum(*products[:2]), torch.minimum(*products[2:]))
        upper = torch.maximum(torch.maximum(*products[:2]), torch.maximum(*products[2:]))
        return Interval(lower, upper)

    def scaled(self, factor: Tensor | float) -> Interval:
        """Return the products with a fixed factor of any sign."""
        one, other = self.lower * factor, self.upper * factor
        return Interval(torch.minimum(one, other), torch.maximum(one, other))

    def scaled_by_positive(self, factor: Interval) -> Interval:
        """Return the products with an interval that is nonnegative: two products per end."""
        return Interval(
            torch.minimum(factor.lower * self.lower, factor.upper * self.lower),
            torch.maximum(factor.lower * self.upper, factor.upper * self.upper),
        )

    def magnitude(self) -> Interval:
        """Return the absolute values: [0 if 0 is inside else the nearer end, the farther end]."""
        nearest = torch.maximum(self.lower, -self.upper).clamp(min=0)
        return Interval(nearest, torch.maximum(self.upper, -self.lower))

    def square(self) -> Interval:
        """Return the squares."""
        return self.magnitude().increasing(torch.square)

    def increasing(self, function: Callable[[Tensor], Tensor]) -> Interval:
        """Return the image under an elementwise, non-decreasing function."""
        return Interval(function(self.lower), function(self.upper))

    def sum(self, dim: int = -1) -> Interval:
        """Return the sums over one dimension."""
        return Interval(self.lower.sum(dim), self.upper.sum(dim))

    def intersect(self, other: Interval) -> Interval:
        """Return what lies in both; both must hold a common tensor."""
        return Interval(
            torch.maximum(self.lower, other.lower), torch.minimum(self.upper, other.upper)
        )

    def reshape(self, rearrange: Callable[[Tensor], Tensor]) -> Interval:
        """Return the interval with its entries rearranged by a function, e.g. a flip."""
        return Interval(rearrange(self.lower), rearrange(self.upper))

    def standardized(self, location: Tensor, scale: Tensor) -> Interval:
        """Return (t - location) / scale, scale > 0."""
        return self.increasing(lambda t: (t - location) / scale)

    def asinh(self) -> Interval:
        """Return the image under the inverse hyperbolic sine."""
        return self.increasing(torch.asinh)
