"""Two lines around an elementwise function over an interval, by the function's shape.

Each is exact where the interval is a point, and differentiable in its ends.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from certibayes.bounds.interval import Interval
from certibayes.bounds.nodes import Lines

Map = Callable[[Tensor], Tensor]
NARROW = {torch.float32: 1e-4, torch.float64: 1e-7}
"""Relative width below which a chord's slope is taken from the derivative at its middle: there a
quotient of differences has lost its digits, and the two differ by less than rounding."""
BISECTIONS = 40


def chord(function: Map, derivative: Map, over: Interval) -> tuple[Tensor, Tensor]:
    """Return slope and offset of the line through the ends of the graph.

    Over an interval too narrow for a quotient it is the tangent at the middle.
    """
    width = over.width
    narrow = width <= NARROW[width.dtype] * (1 + over.magnitude().upper)
    rise = function(over.upper) - function(over.lower)
    safe = torch.where(narrow, torch.ones_like(width), width)
    slope = torch.where(narrow, derivative(over.center), rise / safe)
    anchor = torch.where(narrow, over.center, over.lower)
    return slope, function(anchor) - slope * anchor


def tangent(function: Map, derivative: Map, at: Tensor) -> tuple[Tensor, Tensor]:
    """Return slope and offset of the tangent."""
    slope = derivative(at)
    return slope, function(at) - slope * at


def convex(function: Map, derivative: Map, over: Interval) -> Lines:
    """Enclose a convex function: chord above, tangent at the middle below."""
    upper = chord(function, derivative, over)
    return Lines(*tangent(function, derivative, over.center), *upper)


def concave(function: Map, derivative: Map, over: Interval) -> Lines:
    """Enclose a concave function: chord below, tangent at the middle above."""
    lower = chord(function, derivative, over)
    return Lines(*lower, *tangent(function, derivative, over.center))


def leaky_relu(over: Interval, negative_slope: float = 0.0) -> Lines:
    """Enclose max(t, 0) + negative_slope min(t, 0), 0 <= negative_slope <= 1.

    The chord above; below, of the two lines through the kink, the one with less area between
    (Zhang et al., 2018).
    """
    low, high = over.lower, over.upper
    mixed = (low < 0) & (high > 0)
    one, small = torch.ones_like(low), torch.full_like(low, negative_slope)
    width = torch.where(mixed, high - low, one)
    mean = torch.where(mixed, (high - negative_slope * low) / width, one)
    slope = torch.where(mixed, mean, torch.where(high > 0, one, small))
    offset = torch.where(mixed, (negative_slope - mean) * low, torch.zeros_like(low))
    below = torch.where(mixed, torch.where(high >= -low, one, small), slope)
    return Lines(below, torch.zeros_like(low), slope, offset, increasing=True)


def sigmoidal(function: Map, derivative: Map, over: Interval, inflection: float = 0.0) -> Lines:
    """Enclose an increasing function that is convex below an inflection and concave above it.

    On one side of it the rules of convex and concave functions hold. Across it the upper line is
    the chord, or, where the graph rises above it, a tangent to the concave part that passes no
    lower than the left end of the graph: of these the one that is lowest at the middle of the
    interval. The lower line is the upper one of -f(-t), turned back.
    """

    def turned(t: Tensor) -> Tensor:
        return -function(-t)

    def turned_derivative(t: Tensor) -> Tensor:
        return derivative(-t)

    upper = _upper_line(function, derivative, over, inflection)
    slope, offset = _upper_line(turned, turned_derivative, -over, -inflection)
    return Lines(slope, -offset, *upper, increasing=True)


def _upper_line(
    function: Map, derivative: Map, over: Interval, inflection: float
) -> tuple[Tensor, Tensor]:
    across = (over.lower < inflection) & (over.upper > inflection)
    least = over.lower.detach().clone()
    if bool(across.any()):
        part = Interval(over.lower.detach()[across], over.upper.detach()[across])
        least[across] = _touching_point(function, derivative, part, inflection)
    line_slope, line_offset = chord(function, derivative, over)
    at = torch.minimum(torch.maximum(least, over.center), over.upper)
    slope, offset = tangent(function, derivative, at)
    use_chord = (over.upper <= inflection) | (least >= over.upper)
    use_chord &= over.lower < inflection
    return torch.where(use_chord, line_slope, slope), torch.where(use_chord, line_offset, offset)


@torch.no_grad()
def _touching_point(function: Map, derivative: Map, over: Interval, inflection: float) -> Tensor:
    """Return d above the inflection whose tangent passes at or above the graph's left end.

    The height of the tangent at the left end grows with d, so the right end of the bisected
    bracket is safe at every step. Infinite where no tangent within the interval will do: there
    the chord lies above the graph.

    Args:
        function: the function.
        derivative: its derivative.
        over: intervals that hold the inflection inside, shape (k,).
        inflection: where the function turns from convex to concave.
    """
    value = function(over.lower)
    near, far = torch.full_like(over.lower, inflection), over.upper
    safe_far = function(far) + derivative(far) * (over.lower - far) >= value
    for _ in range(BISECTIONS):
        middle = (near + far) / 2
        above = function(middle) + derivative(middle) * (over.lower - middle) >= value
        far = torch.where(above, middle, far)
        near = torch.where(above, near, middle)
    return torch.where(safe_far, far, torch.full_like(far, torch.inf))
