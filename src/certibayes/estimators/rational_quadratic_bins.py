"""Ranges inside the bins that a spline's argument may lie in.

With p the position in the bin, q = p (1 - p), s the mean slope, e = (d_left + d_right) / s and
T = 1 - 2 q + e q the slope of the spline is N / T^2, N = d_right p^2 + 2 s q + d_left (1 - p)^2.
Quadratics of p with nonnegative Bernstein coefficients, here T and N, take their extremes over a
range of p at the control points of that range, each growing in every coefficient.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from certibayes.bounds import Interval
from certibayes.estimators.rational_quadratic_bounds import SplineBox


@dataclass(frozen=True)
class BinBox:
    """Every bin of every spline with what an argument in it can see; shapes (*, bins).

    Attributes:
        possible: whether some argument lies in the bin, for some spline of the box.
        tail: whether some argument lies outside all bins, where the spline is the identity,
            shape (*).
        p: position, within [0, 1].
        log_width: logarithm of the width.
        log_height: logarithm of the height.
        log_left: log derivative at the left end.
        log_right: log derivative at the right end.
    """

    possible: Tensor
    tail: Tensor
    p: Interval
    log_width: Interval
    log_height: Interval
    log_left: Interval
    log_right: Interval

    @classmethod
    def of(cls, box: SplineBox, w: Interval) -> BinBox:
        """Return the bins of a box of splines at arguments w, shape (*).

        The position, cut to [0, 1], grows in w and falls in both knots: its range is attained.
        """
        u, at = box.u, w.reshape(lambda t: t.unsqueeze(-1))
        position = Interval(_position(at.lower, u.upper), _position(at.upper, u.lower))
        return cls(
            (at.upper >= u.lower[..., :-1]) & (at.lower <= u.upper[..., 1:]),
            (w.upper > box.shape.bound) | (w.lower < -box.shape.bound),
            position,
            box.extent(box.widths).increasing(torch.log),
            box.extent(box.heights).increasing(torch.log),
            box.log_slope.reshape(lambda t: t[..., :-1]),
            box.log_slope.reshape(lambda t: t[..., 1:]),
        )

    @cached_property
    def log_mean(self) -> Interval:
        """Logarithm of the mean slope s."""
        return self.log_height - self.log_width

    @cached_property
    def left(self) -> Interval:
        """Share d_left / s."""
        return (self.log_left - self.log_mean).increasing(torch.exp)

    @cached_property
    def right(self) -> Interval:
        """Share d_right / s."""
        return (self.log_right - self.log_mean).increasing(torch.exp)

    @cached_property
    def rest(self) -> Interval:
        """The rest of the bin, 1 - p."""
        return -self.p + 1.0

    @cached_property
    def q(self) -> Interval:
        """The product p (1 - p), largest at 1/2."""
        ends = (self.p.lower * self.rest.upper, self.p.upper * self.rest.lower)
        middle = (self.p.lower <= 0.5) & (self.p.upper >= 0.5)
        largest = torch.maximum(*ends)
        return Interval(torch.minimum(*ends), torch.where(middle, 0.25, largest))

    @cached_property
    def inverse_t(self) -> Interval:
        """The inverse of T."""
        return reciprocal(self.quadratic(1.0, (self.left + self.right).scaled(0.5), 1.0))

    @cached_property
    def numerator(self) -> Interval:
        """N by the mean slope, N / s."""
        return self.quadratic(self.left, 1.0, self.right)

    @cached_property
    def by_position(self) -> Interval:
        """By p: N' / N - 2 (e - 2) (1 - 2 p) / T."""
        rise = self.linear(-self.left + 1.0, self.right + -1.0)
        lean = self.p.scaled(-2.0) + 1.0
        bend = (self.left + self.right + -2.0) * lean
        return (rise * reciprocal(self.numerator) - bend * self.inverse_t).scaled(2.0)

    @cached_property
    def by_log_mean(self) -> Interval:
        """By log s: 2 q (e / T + s / N), nonnegative."""
        share = (self.left + self.right).scaled_by_positive(self.inverse_t)
        total = share + reciprocal(self.numerator)
        return total.scaled_by_positive(self.q).scaled(2.0)

    @cached_property
    def by_log_left(self) -> Interval:
        """By log d_left: d_left (1 - p)^2 / N - 2 q (d_left / s) / T."""
        ratio = (self.log_right - self.log_left).increasing(torch.exp)
        scaled = self.quadratic(1.0, reciprocal(self.left), ratio)
        return self.rest.square().scaled_by_positive(reciprocal(scaled)) - self._drop(self.left)

    @cached_property
    def by_log_right(self) -> Interval:
        """By log d_right: d_right p^2 / N - 2 q (d_right / s) / T."""
        ratio = (self.log_left - self.log_right).increasing(torch.exp)
        scaled = self.quadratic(ratio, reciprocal(self.right), 1.0)
        return self.p.square().scaled_by_positive(reciprocal(scaled)) - self._drop(self.right)

    @cached_property
    def log_slope_in_bins(self) -> Interval:
        """Ranges of log dz / dw in every bin, shape (*, bins).

        The tighter of two: the closed form, whose N and 1 / T grow in s, and the mean value form
        around the middle of position, log s and both log derivatives.
        """
        ends = (
            part.increasing(torch.exp) for part in (self.log_left, self.log_mean, self.log_right)
        )
        numerator = self.quadratic(*ends).increasing(torch.log)
        closed = numerator + self.inverse_t.increasing(torch.log).scaled(2.0)
        parts = (self.p, self.log_mean, self.log_left, self.log_right)
        slopes = (self.by_position, self.by_log_mean, self.by_log_left, self.by_log_right)
        reach = torch.zeros_like(self.p.lower)
        for part, slope in zip(parts, slopes, strict=True):
            reach = reach + slope.magnitude().upper * part.radius
        return closed.intersect(
            Interval.around(_log_slope(*(part.center for part in parts)), reach)
        )

    def log_slope(self) -> Interval:
        """Return the range of log dz / dw over all possible bins and tails, shape (*)."""
        each = self.log_slope_in_bins
        least = torch.where(self.possible, each.lower, torch.inf).amin(-1)
        most = torch.where(self.possible, each.upper, -torch.inf).amax(-1)
        return Interval(
            torch.where(self.tail, least.clamp(max=0.0), least),
            torch.where(self.tail, most.clamp(min=0.0), most),
        )

    def quadratic(
        self, start: Interval | float, middle: Interval | float, end: Interval | float
    ) -> Interval:
        """Return the range of start (1 - p)^2 + 2 middle q + end p^2, coefficients >= 0."""
        (a, a_up), (b, b_up), (c, c_up) = (_ends(part) for part in (start, middle, end))
        low, high = self.p.lower, self.p.upper
        corners = ((low, low), (low, high), (high, high))
        least = [_blossom(a, b, c, p, r) for p, r in corners]
        most = [_blossom(a_up, b_up, c_up, p, r) for p, r in corners]
        return Interval(torch.stack(least).amin(0), torch.stack(most).amax(0))

    def linear(self, start: Interval, end: Interval) -> Interval:
        """Return the range of start (1 - p) + end p, coefficients of any sign."""
        least, most = (
            [one + (other - one) * p for p in (self.p.lower, self.p.upper)]
            for one, other in ((start.lower, end.lower), (start.upper, end.upper))
        )
        return Interval(torch.minimum(*least), torch.maximum(*most))

    def _drop(self, share: Interval) -> Interval:
        return share.scaled_by_positive(self.inverse_t).scaled_by_positive(self.q).scaled(2.0)


def reciprocal(positive: Interval) -> Interval:
    """Return 1 / t."""
    return Interval(1 / positive.upper, 1 / positive.lower)


def _ends(coefficient: Interval | float) -> tuple[Tensor | float, Tensor | float]:
    if isinstance(coefficient, Interval):
        return coefficient.lower, coefficient.upper
    return coefficient, coefficient


def _blossom(
    start: Tensor | float, middle: Tensor | float, end: Tensor | float, p: Tensor, r: Tensor
) -> Tensor:
    """Return the polar form of a quadratic; at (p, p) it is the quadratic itself."""
    return start * (1 - p) * (1 - r) + middle * (p * (1 - r) + r * (1 - p)) + end * p * r


def _position(w: Tensor, u: Tensor) -> Tensor:
    return ((w - u[..., :-1]) / u.diff(dim=-1)).clamp(0.0, 1.0)


def _log_slope(p: Tensor, log_mean: Tensor, log_left: Tensor, log_right: Tensor) -> Tensor:
    """Return log(N / T^2)."""
    left, right, q = (log_left - log_mean).exp(), (log_right - log_mean).exp(), p * (1 - p)
    numerator = left * (1 - p).square() + 2 * q + right * p.square()
    return log_mean + numerator.log() - 2 * (1 + (left + right - 2) * q).log()
