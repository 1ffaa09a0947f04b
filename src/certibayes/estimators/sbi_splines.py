"""Rational-quadratic splines as nflows parametrizes them, as nodes of a graph.

They differ from `rational_quadratic` in the derivatives at the knots alone: softplus(r) + 1e-3
instead of a bounded function of r.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from certibayes.bounds import Interval
from certibayes.bounds.graph import Node
from certibayes.bounds.graph_rules import tightened
from certibayes.estimators.density_nodes import INFLECTION
from certibayes.estimators.foreign import ForeignNetworkError
from certibayes.estimators.rational_quadratic import Splines, SplineShape
from certibayes.estimators.rational_quadratic_bins import BinBox
from certibayes.estimators.rational_quadratic_bounds import SplineBox
from certibayes.estimators.rational_quadratic_gradients import log_slope_gradient, value_gradient
from certibayes.estimators.rational_quadratic_nodes import MeanValue
from certibayes.estimators.scale import SCALE_FLOOR, positive_scale

UNUSED_STEEPEST = 2.0


@dataclass(frozen=True)
class SbiSplines:
    """Splines of one transform.

    Attributes:
        shape: bins, range and smallest bin; its `steepest` is not used.
        divisor: of the unconstrained widths and heights.
    """

    shape: SplineShape
    divisor: float

    @classmethod
    def of(cls, transform: Any, hidden_features: int | None) -> SbiSplines:
        """Read a spline transform of nflows.

        Args:
            transform: autoregressive or coupling.
            hidden_features: attribute of its network, by whose root nflows divides widths and
                heights; None = the network has none.

        Raises:
            ForeignNetworkError: if the splines are not those of sbi.
        """
        floors = (transform.min_bin_width, transform.min_bin_height, transform.min_derivative)
        allowed = (floors[0], floors[0], SCALE_FLOOR)
        if transform.tails != "linear" or floors != allowed:
            raise ForeignNetworkError(
                f"module: got {type(transform).__name__} with tails {transform.tails!r} and least "
                f"width, height and derivative {floors}; allowed: 'linear' tails, {allowed}"
            )
        bound = float(transform.tail_bound)
        shape = SplineShape(transform.num_bins, bound, floors[0], UNUSED_STEEPEST)
        return cls(shape, 1.0 if hidden_features is None else hidden_features**0.5)

    def row_scale(self, like: Tensor) -> Tensor:
        """Return the factor of every unconstrained number, shape (3 bins - 1,)."""
        scale = torch.ones(self.shape.parameters).to(like)
        scale[: 2 * self.shape.bins] /= self.divisor
        return scale

    def nodes(self, w: Node, numbers: Node) -> tuple[MeanValue, MeanValue]:
        """Return z and log dz / dw, see `rational_quadratic_nodes.spline_nodes`.

        Args:
            w: arguments, values of shape (*, batch, d).
            numbers: unconstrained, already scaled, values of shape (*, batch, d, 3 bins - 1).
        """
        over = tightened(w)
        box = self._box(tightened(numbers))
        bins = BinBox.of(box, over)
        z, log_slope = self._splines(numbers.interval.center).forward(over.center)
        return (
            MeanValue(w, numbers, z, value_gradient(box, bins), box.value(over)),
            MeanValue(w, numbers, log_slope, log_slope_gradient(box, bins), bins.log_slope()),
        )

    def _splines(self, numbers: Tensor) -> Splines:
        inner = positive_scale(numbers[..., 2 * self.shape.bins :])
        return replace(
            Splines.of(numbers, self.shape), slope=functional.pad(inner, (1, 1), value=1.0)
        )

    def _box(self, numbers: Interval) -> SplineBox:
        slopes = numbers.reshape(lambda t: t[..., 2 * self.shape.bins :])
        log_slope = slopes.increasing(lambda t: positive_scale(t).log())
        return replace(
            SplineBox.of(numbers, self.shape),
            log_slope=log_slope.reshape(lambda t: functional.pad(t, (1, 1))),
            flatness=_flatness(slopes),
        )


def _flatness(slopes: Interval) -> Interval:
    """Return the range of d log(softplus(r) + floor) / dr: it rises to one point, then falls."""
    ends = (_flatness_at(slopes.lower), _flatness_at(slopes.upper))
    peak = slopes.lower.clamp(min=INFLECTION).minimum(slopes.upper)
    return Interval(torch.minimum(*ends), torch.maximum(_flatness_at(peak), torch.maximum(*ends)))


def _flatness_at(r: Tensor) -> Tensor:
    return r.sigmoid() / positive_scale(r)
