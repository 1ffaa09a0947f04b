"""Two lines around an activation that is a ReLU less a remainder that fades on both sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.bounds.interval import Interval
from certibayes.bounds.nodes import Lines
from certibayes.bounds.relaxations import chord

GRID = 64


@dataclass(frozen=True)
class Dip:
    """f(t) = max(t, 0) - r(|t|), as SiLU and GELU are.

    Attributes:
        function: f.
        derivative: of f.
        remainder: r >= 0, falling from `reach` on.
        curvature: a bound of |f''| everywhere.
        reach: where the tails begin.
    """

    function: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor]
    remainder: Callable[[Tensor], Tensor]
    curvature: float
    reach: float


def dip_lines(dip: Dip, over: Interval) -> Lines:
    """Enclose f between two lines; each has the chord's slope or the one at the middle.

    For any slope s, f(t) - s t is bounded over the interval, which gives the offsets; of the two
    slopes each line takes the one that is tighter at the middle.
    """
    chord_slope, _ = chord(dip.function, dip.derivative, over)
    slope = torch.stack((chord_slope, dip.derivative(over.center)))
    rest = _rest(dip, slope, over)
    middle = slope * over.center
    lower_second = middle[1] + rest.lower[1] > middle[0] + rest.lower[0]
    upper_second = middle[1] + rest.upper[1] < middle[0] + rest.upper[0]
    return Lines(
        torch.where(lower_second, slope[1], slope[0]),
        torch.where(lower_second, rest.lower[1], rest.lower[0]),
        torch.where(upper_second, slope[1], slope[0]),
        torch.where(upper_second, rest.upper[1], rest.upper[0]),
    )


def _rest(dip: Dip, slope: Tensor, over: Interval) -> Interval:
    """Bound f(t) - slope t over the interval, for slopes of shape (s, *shape of the interval).

    Within the reach: on a grid of step h; between two points the function strays from the
    interpolating line by at most curvature h^2 / 8. Beyond it, with r falling:
    (1 - slope) t - r(t) on the right and -slope t - r(-t) on the left, the linear part and the
    remainder each at its worst end.
    """
    infinite = torch.full_like(slope, torch.inf)
    inner = Interval(
        over.lower.clamp(-dip.reach, dip.reach), over.upper.clamp(-dip.reach, dip.reach)
    )
    share = torch.linspace(0, 1, GRID, dtype=slope.dtype, device=slope.device)
    points = inner.lower.unsqueeze(-1) + inner.width.unsqueeze(-1) * share
    values = dip.function(points) - slope.unsqueeze(-1) * points
    stray = dip.curvature * (inner.width / (GRID - 1)).square() / 8
    crosses = (over.lower <= dip.reach) & (over.upper >= -dip.reach)
    lower = torch.where(crosses, values.amin(-1) - stray, infinite)
    upper = torch.where(crosses, values.amax(-1) + stray, -infinite)
    right = Interval(over.lower.clamp(min=dip.reach), over.upper.clamp(min=dip.reach))
    left = Interval((-over.upper).clamp(min=dip.reach), (-over.lower).clamp(min=dip.reach))
    for present, tail, rise in (
        (over.upper > dip.reach, right, 1 - slope),
        (over.lower < -dip.reach, left, slope),
    ):
        line = tail.scaled(rise)
        least = line.lower - dip.remainder(tail.lower)
        most = line.upper - dip.remainder(tail.upper)
        lower = torch.minimum(lower, torch.where(present, least, infinite))
        upper = torch.maximum(upper, torch.where(present, most, -infinite))
    return Interval(lower, upper)
