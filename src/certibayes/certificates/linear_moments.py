"""Moments of linear functions of x', enough to bound their means and mean squares over a region."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.bounds.ellipsoid import Region
from certibayes.bounds.interval import Interval
from certibayes.bounds.linear import least_product
from certibayes.certificates.box_quadratic import largest_eigenvalue, largest_on_box


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

    def add(self, slope: Tensor, offset: Tensor, kept: Tensor | None = None) -> None:
        """Add functions.

        Args:
            slope: shape (n, batch, x_dim).
            offset: shape (n, batch).
            kept: bool, shape (n, batch); a function that is not kept counts as 0. None = all.
        """
        self.count += len(offset)
        if kept is not None:
            some = kept.any(-1)
            kept = kept[some]
            slope = torch.where(kept.unsqueeze(-1), slope[some], 0.0)
            offset = torch.where(kept, offset[some], 0.0)
        joint = torch.cat((slope, offset.unsqueeze(-1)), -1).movedim(0, 1)
        self._sums += joint.sum(1)
        self._products += joint.mT @ joint

    def plus(self, other: LinearMoments) -> LinearMoments:
        """Return the moments of g_k + h_k, where of any two functions at most one is not 0.

        Args:
            other: of h, the same region and count.
        """
        total = LinearMoments(self.region, self.center)
        total.count = self.count
        total._sums = self._sums + other._sums
        total._products = self._products + other._products
        return total

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
        """Bound d' M d + 2 m . d + c, d = t - center, given [[M, m], [m', c]], M semidefinite.

        Over an ellipsoid d' M d is at most the largest eigenvalue of M_ij r_i r_j, and the linear
        term is taken by itself; over a box see `largest_on_box`.
        """
        region, center = self.region, self.center
        if isinstance(region, Interval):
            low, high = region.lower - center, region.upper - center
            return largest_on_box(products, low.clamp(max=0.0), high.clamp(min=0.0))
        matrix, mixed, constant = products[:, :-1, :-1], products[:, :-1, -1], products[:, -1, -1]
        square = largest_eigenvalue(matrix * _outer(region.radius))
        return square - 2 * self._least(-mixed) + constant

    def _least(self, slope: Tensor) -> Tensor:
        return least_product(slope, self.region) - (slope * self.center).sum(-1)

    def _minimizer(self, slope: Tensor) -> Tensor:
        region = self.region
        if isinstance(region, Interval):
            return torch.where(slope > 0, region.lower, region.upper)
        direction = slope * region.radius
        length = direction.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(slope.dtype).tiny)
        return region.center - region.radius * direction / length


def _outer(vectors: Tensor) -> Tensor:
    return vectors.unsqueeze(-1) * vectors.unsqueeze(-2)
