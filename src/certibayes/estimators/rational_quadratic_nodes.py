"""Rational-quadratic splines as nodes of a graph, for linear bounds."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.bounds import Interval
from certibayes.bounds.graph import Node, sum_features
from certibayes.bounds.graph_rules import tightened
from certibayes.estimators.rational_quadratic import Splines, SplineShape
from certibayes.estimators.rational_quadratic_bins import BinBox
from certibayes.estimators.rational_quadratic_bounds import SplineBox
from certibayes.estimators.rational_quadratic_gradients import (
    Gradient,
    log_slope_gradient,
    value_gradient,
)


class MeanValue(Node):
    """A function of splines' arguments and numbers, linearized at the middle of their box.

    With c the middle and r the radii of the box and the gradient in G = [m - h, m + h] all over it,
    |f(t) - f(c) - m (t - c)| <= h r: the mean value form (Moore, 1966) as two parallel planes.
    Where these lie farther apart than the ends of the function's interval, those ends are taken.
    """

    def __init__(
        self, w: Node, numbers: Node, middle: Tensor, gradient: Gradient, bounds: Interval
    ) -> None:
        """Build the node.

        Args:
            w: arguments, values of shape (*, batch, d).
            numbers: unconstrained numbers of the splines, (*, batch, d, 3 * bins - 1).
            middle: the function at the middle of the box, shape (*, batch, d).
            gradient: ranges of the derivatives over the box.
            bounds: range of the function over the box, shape (*, batch, d).
        """
        parts = ((gradient.w, w.interval), (gradient.numbers, numbers.interval))
        reach, gap = (
            own(*parts[0]) + own(*parts[1]).sum(-1)
            for own in (
                lambda g, over: g.magnitude().upper * over.radius,
                lambda g, over: g.radius * over.radius,
            )
        )
        region = bounds.intersect(Interval.around(middle, reach))
        super().__init__((w, numbers), region, 1)
        flat = gap >= region.radius
        self._gap = torch.where(flat, region.radius, gap)
        self._by_w = gradient.w.center.masked_fill(flat, 0.0)
        self._by_numbers = gradient.numbers.center.masked_fill(flat.unsqueeze(-1), 0.0)
        at_middle = self._by_w * w.interval.center
        at_middle = at_middle + (self._by_numbers * numbers.interval.center).sum(-1)
        self._offset = torch.where(flat, region.center, middle) - at_middle

    def pull_back(self, coefficients: Tensor) -> tuple[tuple[Tensor, ...], Tensor | float]:
        """Use the lower plane where a coefficient is positive, the upper one where it is not."""
        offset = coefficients * self._offset - coefficients.abs() * self._gap
        pulled = (coefficients * self._by_w, coefficients.unsqueeze(-1) * self._by_numbers)
        return pulled, sum_features(offset, 1)


def spline_nodes(w: Node, numbers: Node, shape: SplineShape) -> tuple[MeanValue, MeanValue]:
    """Return z and log dz / dw of splines, with the intervals of the nodes tightened if asked.

    Args:
        w: arguments, values of shape (*, batch, d).
        numbers: unconstrained numbers of the splines, values of shape (*, batch, d, 3 * bins - 1).
        shape: what bounds the splines' parameters.
    """
    over = tightened(w)
    box = SplineBox.of(tightened(numbers), shape)
    bins = BinBox.of(box, over)
    z, log_slope = Splines.of(numbers.interval.center, shape).forward(over.center)
    return (
        MeanValue(w, numbers, z, value_gradient(box, bins), box.value(over)),
        MeanValue(w, numbers, log_slope, log_slope_gradient(box, bins), bins.log_slope()),
    )
