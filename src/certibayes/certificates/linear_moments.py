"""Moments of linear functions of x', enough to bound their means and mean squares over a region."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.bounds.ellipsoid import Region
from certibayes.bounds.interval import Interval
from certibayes.bounds.linear import least_product

ROUNDING = 1e-8


class LinearMoments:
    """Running sums over k of g_k(t) = slope_k . (t - center) + offset_k, and of its squares.

    Memory: (x_dim + 1)^2 numbers per observation, whatever the number of functions.

    Attributes:
        count: functions added.
    """

    def __init__(self, region: Region, center: Tensor) -> None:
        """Start with none.

        Args:
            region: of t, shape (batch, x_dim).
            center: a point of the region, shape (batch, x_dim).
        """
        self.region = region
        self.center = center
        self.count = 0
        batch, x_dim = center.shape
        self._sums = center.new_zeros(batch, x_dim + 1)
        self._products = center.new_zeros(batch, x_dim + 1, x_dim + 1)

    def add(self, slope: Tensor, offset: Tensor) -> None:
        """Add functions; slope of shape (n, batch, x_dim), offset of shape (n, batch)."""
        joint = torch.cat((slope, offset.unsqueeze(-1)), -1).movedim(0, 1)
        self._sums += joint.sum(1)
        self._products += joint.mT @ joint
        self.count += len(offset)

    def reach(self, slope: Tensor) -> Tensor:
        """Return the largest |slope . (t - center)| over the region, slope (n, batch, x_dim)."""
        return torch.maximum(-self._least(slope), -self._least(-slope))

    def least_mean(self) -> Tensor:
        """Return the least mean of g over the region, shape (batch,)."""
        slope, offset = self._mean()
        return offset + self._least(slope)

    def largest_mean_square(self) -> Tensor:
        """Bound the mean of g^2 over the region from above, shape (batch,).

        With d = t - center it is d' M d + 2 m . d + c, M, m, c the means of slope slope',
        slope offset and offset^2.
        """
        return self._largest_of(self._products / self.count)

    def largest_variance(self) -> Tensor:
        """Bound the variance of g over the functions from above over the region, shape (batch,).

        A quadratic function of t like the mean of g^2, with centered moments; not the unbiased
        variance, which is count / (count - 1) times as large.
        """
        return self._largest_of(self._centered()).clamp(min=0.0)

    def mean_at_worst(self) -> tuple[Tensor, Tensor]:
        """Return the least mean of g, and the standard error of the mean where it is attained.

        A cut ellipsoid is taken without its cut for the place, not for the mean.
        """
        slope, _ = self._mean()
        step = torch.cat((self._minimizer(slope) - self.center, slope.new_ones(len(slope), 1)), -1)
        variance = torch.einsum("bi,bij,bj->b", step, self._centered(), step).clamp(min=0)
        return self.least_mean(), (variance / (self.count - 1)).sqrt()

    def _mean(self) -> tuple[Tensor, Tensor]:
        mean = self._sums / self.count
        return mean[:, :-1], mean[:, -1]

    def _centered(self) -> Tensor:
        return self._products / self.count - _outer(self._sums / self.count)

    def _largest_of(self, products: Tensor) -> Tensor:
        """Bound d' M d + 2 m . d + c, d = t - center, given [[M, m], [m', c]], M semidefinite."""
        matrix, mixed, constant = products[:, :-1, :-1], products[:, :-1, -1], products[:, -1, -1]
        return self._largest_quadratic(matrix) - 2 * self._least(-mixed) + constant

    def _least(self, slope: Tensor) -> Tensor:
        return least_product(slope, self.region) - (slope * self.center).sum(-1)

    def _largest_quadratic(self, matrix: Tensor) -> Tensor:
        """Bound d' M d for a positive semidefinite M.

        With N_ij = M_ij r_i r_j: over an ellipsoid the largest eigenvalue of N; over a box the sum
        of |N_ij|, or the trace of N plus x_dim times the largest eigenvalue of N without its
        diagonal, whichever is less. A box that is not centered at x is widened until it is.
        """
        region, center = self.region, self.center
        if not isinstance(region, Interval):
            scaled = matrix * _outer(region.radius)
            return _largest_eigenvalue(scaled)
        scaled = matrix * _outer(torch.maximum(region.upper - center, center - region.lower))
        diagonal = scaled.diagonal(dim1=-2, dim2=-1)
        rest = _largest_eigenvalue(scaled - torch.diag_embed(diagonal))
        return torch.minimum(scaled.abs().sum((-2, -1)), diagonal.sum(-1) + len(scaled[0]) * rest)

    def _minimizer(self, slope: Tensor) -> Tensor:
        region = self.region
        if isinstance(region, Interval):
            return torch.where(slope > 0, region.lower, region.upper)
        direction = slope * region.radius
        length = direction.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(slope.dtype).tiny)
        return region.center - region.radius * direction / length


def _outer(vectors: Tensor) -> Tensor:
    return vectors.unsqueeze(-1) * vectors.unsqueeze(-2)


def _largest_eigenvalue(symmetric: Tensor) -> Tensor:
    """Return the largest eigenvalue, rounded up, infinite for matrices that are not finite."""
    finite = symmetric.isfinite().all(-1).all(-1)
    safe = torch.where(finite[:, None, None], symmetric, torch.zeros_like(symmetric))
    values = torch.linalg.eigvalsh(safe)
    largest = values[:, -1].clamp(min=0) + ROUNDING * values.abs().amax(-1)
    return torch.where(finite, largest, torch.inf)
