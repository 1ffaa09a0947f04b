"""Exact interval bounds of linear maps over boxes and ellipsoids."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from certibayes.bounds.ellipsoid import Region, safe_sqrt
from certibayes.bounds.interval import Interval

LinearOperator = Callable[[Tensor, Tensor], Tensor]
"""(input, weight) -> output, bilinear and a sum of products, e.g. `functional.linear`."""


def affine(
    region: Region,
    weight: Tensor,
    bias: Tensor | None = None,
    operator: LinearOperator = functional.linear,
) -> Interval:
    """Return bounds of operator(t, weight) + bias over all t of the region.

    With W the matrix of the map, the center is W c + b and the radius of output i is
    sum_j |W_ij| r_j over a box (Gowal et al., 2018) and sqrt(sum_j (W_ij r_j)^2) over an ellipsoid,
    both attained. Over an ellipsoid cut by a box, the tighter end of either holds.

    Args:
        region: inputs, shape (batch, *features).
        weight: parameters of the map, as the operator wants them.
        bias: added to the output, broadcast; None = 0.
        operator: the linear map.
    """
    center = operator(region.center, weight)
    if bias is not None:
        center = center + bias
    if isinstance(region, Interval):
        return Interval.around(center, operator(region.radius, weight.abs()))
    square = operator(region.radius.square(), weight.square())
    bounds = Interval.around(center, safe_sqrt(square))
    return bounds.intersect(affine(region.box, weight, bias, operator)) if region.cut else bounds


def row_products(vectors: Tensor, weight: Tensor) -> Tensor:
    """Apply one matrix per example: (*, batch, m, d) and (batch, d) to (*, batch, m).

    One matrix for all examples, (m, d), is not copied for each of them.
    """
    if weight.dim() == 2:
        return functional.linear(vectors, weight)
    return torch.matmul(weight, vectors.unsqueeze(-1)).squeeze(-1)
