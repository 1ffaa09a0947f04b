"""Monotone rational-quadratic splines with identity tails (Durkan et al., 2019).

Bin k runs from (u_k, z_k) to (u_(k+1), z_(k+1)) with derivatives d_k and d_(k+1) at its ends, mean
slope s = (z_(k+1) - z_k) / (u_(k+1) - u_k) and position p in [0, 1]:
z = z_k + (z_(k+1) - z_k) (s p^2 + d_k p (1 - p)) / (s + (d_k + d_(k+1) - 2 s) p (1 - p)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class SplineShape:
    """What bounds a spline's parameters.

    Attributes:
        bins: number of bins between -bound and bound.
        bound: outside [-bound, bound] the spline is the identity.
        smallest_bin: least width and height of a bin as a share of 2 * bound; below 1 / bins.
        steepest: derivatives at the inner knots lie in [1 / steepest, steepest]; above 1.
    """

    bins: int
    bound: float
    smallest_bin: float
    steepest: float

    @property
    def parameters(self) -> int:
        """Unconstrained numbers of one spline: widths, heights, inner derivatives."""
        return 3 * self.bins - 1


@dataclass(frozen=True)
class Splines:
    """Splines of any batch shape; all attributes have shape (*, bins + 1).

    Attributes:
        u: knots, increasing from -bound to bound.
        z: values at the knots, increasing from -bound to bound.
        slope: derivatives at the knots, 1 at both ends.
    """

    u: Tensor
    z: Tensor
    slope: Tensor

    @classmethod
    def of(cls, unconstrained: Tensor, shape: SplineShape) -> Splines:
        """Return splines from unconstrained numbers, shape (*, 3 * bins - 1); identity at zero.

        Bins are a softmax mixed with `smallest_bin`; log derivatives are L tanh(r / L) with
        L = log(steepest).
        """
        widths, heights, slopes = unconstrained.split((shape.bins, shape.bins, shape.bins - 1), -1)
        limit = math.log(shape.steepest)
        inner = (limit * (slopes / limit).tanh()).exp()
        return cls(
            _knots(widths, shape), _knots(heights, shape), functional.pad(inner, (1, 1), value=1.0)
        )

    def forward(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return z and log dz / du at u, all of the batch shape."""
        inside = u.clamp(self.u[..., 0], self.u[..., -1])
        bin_ = self.bin_at(self.u, inside)
        position = ((inside - bin_.u) / bin_.width).clamp(0.0, 1.0)
        z = bin_.value(position)
        tail = inside != u
        return torch.where(tail, u, z), bin_.log_slope(position).masked_fill(tail, 0.0)

    def inverse(self, z: Tensor) -> Tensor:
        """Return u with forward(u) = z, both of the batch shape."""
        inside = z.clamp(self.z[..., 0], self.z[..., -1])
        bin_ = self.bin_at(self.z, inside)
        u = bin_.u + bin_.width * bin_.position(((inside - bin_.z) / bin_.height).clamp(0.0, 1.0))
        return torch.where(inside != z, z, u)

    def bin_at(self, knots: Tensor, value: Tensor) -> Bin:
        """Return the bins in which values, shape (*), lie among knots, `u` or `z`."""
        left = (value.unsqueeze(-1) >= knots[..., 1:-1]).sum(-1, keepdim=True)
        ends = torch.cat((left, left + 1), -1)
        picked = (t.gather(-1, ends).unbind(-1) for t in (self.u, self.z, self.slope))
        (u, next_u), (z, next_z), (d, next_d) = picked
        return Bin(u, next_u - u, z, next_z - z, d, next_d)


@dataclass(frozen=True)
class Bin:
    """One bin of every spline, attributes of one shape.

    Attributes:
        u: left end.
        width: its extent in u.
        z: value at the left end.
        height: rise of the value.
        d_left: derivative at the left end.
        d_right: derivative at the right end.
    """

    u: Tensor
    width: Tensor
    z: Tensor
    height: Tensor
    d_left: Tensor
    d_right: Tensor

    def value(self, p: Tensor) -> Tensor:
        """Return z at positions p in [0, 1]."""
        q = p * (1 - p)
        mean = self.height / self.width
        return self.z + self.height * (mean * p.square() + self.d_left * q) / self._denominator(q)

    def log_slope(self, p: Tensor) -> Tensor:
        """Return log dz / du at positions p in [0, 1]."""
        q = p * (1 - p)
        mean = self.height / self.width
        numerator = self.d_right * p.square() + 2 * mean * q + self.d_left * (1 - p).square()
        return 2 * mean.log() + numerator.log() - 2 * self._denominator(q).log()

    def position(self, r: Tensor) -> Tensor:
        """Return p where the value has risen by the share r of the height.

        With m = d_left (1 - r) - d_right r and g = 4 mean^2 r (1 - r), the quadratic equation of p
        has discriminant height^2 (m^2 + g): a sum of squares, positive in any precision, unlike
        b^2 - 4ac. p = 2 mean r / (2 mean r + m + sqrt(m^2 + g)), where for m < 0 the last two terms
        are g / (sqrt(m^2 + g) - m), free of cancellation.
        """
        mean = self.height / self.width
        m = self.d_left * (1 - r) - self.d_right * r
        g = 4 * mean.square() * r * (1 - r)
        larger = (m.square() + g).sqrt() + m.abs()
        rise = 2 * mean * r
        return rise / (rise + torch.where(m < 0, g / larger, larger))

    def _denominator(self, q: Tensor) -> Tensor:
        mean = self.height / self.width
        return mean * (1 - 2 * q) + (self.d_left + self.d_right) * q


def _knots(unconstrained: Tensor, shape: SplineShape) -> Tensor:
    free = 1 - shape.smallest_bin * shape.bins
    shares = shape.smallest_bin + free * unconstrained.softmax(-1)
    inner = 2 * shape.bound * shares.cumsum(-1)[..., :-1] - shape.bound
    low = functional.pad(inner, (1, 0), value=-shape.bound)
    return functional.pad(low, (0, 1), value=shape.bound)
