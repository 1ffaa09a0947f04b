"""The largest value of a convex quadratic function over a box."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.bounds.joint_norm import CORNERS_AT_ONCE, MOST_CORNERS, corner_signs

ROUNDING = 1e-8
CORNER_ROUNDING = 1e-13


def largest_on_box(products: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Bound d' M d + 2 m . d + c over low <= d <= high from above, shape (batch,).

    The function is convex, so that its maximum is attained at a corner: where at most 12 features
    move, every corner is visited. Else, with N_ij = M_ij r_i r_j and r the farthest end, d' M d is
    at most the sum of |N_ij|, and at most the trace of N plus the number of moving features times
    the largest eigenvalue of N without its diagonal; the linear term gets a corner of its own.
    Infinite where a product of moving features is not finite.

    Args:
        products: [[M, m], [m', c]], M positive semidefinite, shape (batch, x_dim + 1, x_dim + 1).
        low: at most 0, shape (batch, x_dim).
        high: at least 0, same shape.
    """
    moving = ((low != 0) | (high != 0)).any(0)
    kept = torch.cat((moving, moving.new_ones(1)))
    products, low, high = products[:, kept][:, :, kept], low[:, moving], high[:, moving]
    found = _at_corners if low.shape[1] <= MOST_CORNERS else _term_by_term
    return torch.where(products.isfinite().flatten(1).all(1), found(products, low, high), torch.inf)


def largest_eigenvalue(symmetric: Tensor) -> Tensor:
    """Return the largest eigenvalue or 0, rounded up; infinite for matrices that are not finite.

    Args:
        symmetric: shape (batch, n, n).
    """
    finite = symmetric.isfinite().all(-1).all(-1)
    safe = torch.where(finite[:, None, None], symmetric, torch.zeros_like(symmetric))
    values = torch.linalg.eigvalsh(safe)
    largest = values[:, -1].clamp(min=0) + ROUNDING * values.abs().amax(-1)
    return torch.where(finite, largest, torch.inf)


def _at_corners(products: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Visit every corner; what rounding may hide is added."""
    middle, half = ((high + low) / 2).unsqueeze(1), ((high - low) / 2).unsqueeze(1)
    far = _with_one(torch.maximum(high, -low).unsqueeze(1))
    largest = torch.full_like(products[:, 0, 0], -torch.inf)
    for signs in corner_signs(low.shape[1], low).split(CORNERS_AT_ONCE):
        d = _with_one(middle + half * signs)
        largest = torch.maximum(largest, ((d @ products) * d).sum(-1).amax(-1))
    return largest + CORNER_ROUNDING * ((far @ products.abs()) * far).sum((-2, -1))


def _term_by_term(products: Tensor, low: Tensor, high: Tensor) -> Tensor:
    far = torch.maximum(high, -low)
    scaled = products[:, :-1, :-1] * (far.unsqueeze(-1) * far.unsqueeze(-2))
    diagonal = scaled.diagonal(dim1=-2, dim2=-1)
    rest = largest_eigenvalue(scaled - torch.diag_embed(diagonal))
    square = torch.minimum(scaled.abs().sum((-2, -1)), diagonal.sum(-1) + diagonal.shape[-1] * rest)
    mixed = products[:, :-1, -1]
    linear = torch.maximum(mixed * low, mixed * high).sum(-1)
    return square + 2 * linear + products[:, -1, -1]


def _with_one(d: Tensor) -> Tensor:
    return torch.cat((d, d.new_ones(*d.shape[:-1], 1)), -1)
