"""The largest Euclidean norm of several functions of one perturbed input."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.bounds.ellipsoid import Region
from certibayes.bounds.interval import Interval
from certibayes.bounds.linear import LinearForm, least_product

MOST_CORNERS = 12
"""Most perturbed features for which every corner of a box is visited."""
CORNERS_AT_ONCE = 256


def largest_norm(lower: LinearForm, upper: LinearForm, box: Interval, weights: Tensor) -> Tensor:
    """Return an upper bound of max over x' of sqrt(sum_i (w_i f_i(x'))^2), one x' for all f_i.

    With a_i the mean of the linear bounds of f_i and h_i the largest half distance between them,
    the norm is at most max ||w a(x')|| + ||w h||. The maximum of the norm of a linear map is exact
    over an ellipsoid centered at a zero of the map (its largest singular value) and, with at most
    12 perturbed features, over a box (the best corner); elsewhere it is the least of bounds by
    singular value and triangle inequality. Each f_i at its own worst x' is a bound too.

    Args:
        lower: linear lower bounds of the f_i, coefficients of shape (m, batch, features of x).
        upper: linear upper bounds, same shapes.
        box: bounds of the f_i, shape (m, batch).
        weights: w_i >= 0, shape (m, batch).

    Returns:
        Shape (batch,).
    """
    region = lower.input.region
    own = box.intersect(Interval(lower.minimum(), _maximum(upper)))
    by_itself = (weights * own.magnitude().upper).norm(dim=0)
    slopes = (weights.unsqueeze(-1) * (upper.coefficients + lower.coefficients) / 2).movedim(0, 1)
    at_center = (slopes * region.center.unsqueeze(1)).sum(-1)
    at_center = at_center + (weights * (upper.offset + lower.offset) / 2).T
    distance = LinearForm(
        upper.coefficients - lower.coefficients,
        upper.offset - lower.offset,
        upper.magnitude,
        upper.input,
    )
    half = weights * _maximum(distance).clamp(min=0) / 2
    together = _largest_linear_norm(slopes, at_center, region) + half.norm(dim=0)
    return torch.minimum(by_itself, together)


def _maximum(form: LinearForm) -> Tensor:
    return form.offset - least_product(-form.coefficients, form.input.region)


def _largest_linear_norm(slopes: Tensor, at_center: Tensor, region: Region) -> Tensor:
    """Bound ||at_center + slopes (t - center)|| over t; (batch, m, features), (batch, m)."""
    scaled = slopes * region.radius.unsqueeze(1)
    start = at_center.norm(dim=-1)
    if isinstance(region, Interval):
        return _over_box(scaled, at_center)
    whole = start + torch.linalg.matrix_norm(scaled, 2)
    if not region.cut:
        return whole
    inner = at_center + (slopes * (region.box.center - region.center).unsqueeze(1)).sum(-1)
    return torch.minimum(whole, _over_box(slopes * region.box.radius.unsqueeze(1), inner))


def _over_box(scaled: Tensor, at_center: Tensor) -> Tensor:
    moving = (scaled != 0).any(1).any(0)
    scaled = scaled[..., moving]
    count = int(moving.sum())
    start = at_center.norm(dim=-1)
    if count == 0:
        return start
    if count > MOST_CORNERS:
        singular = torch.linalg.matrix_norm(scaled, 2) * count**0.5
        return start + torch.minimum(singular, scaled.norm(dim=1).sum(-1))
    corners = corner_signs(count, scaled)
    largest = start
    for part in corners.split(CORNERS_AT_ONCE):
        reached = at_center + torch.einsum("bmf,cf->cbm", scaled, part)
        largest = torch.maximum(largest, reached.norm(dim=-1).amax(0))
    return largest


def corner_signs(count: int, like: Tensor) -> Tensor:
    """Return the corners of the box from -1 to 1, shape (2^count, count).

    Args:
        count: features.
        like: a tensor of the dtype and on the device that are wanted.
    """
    if count == 0:
        return like.new_ones(1, 0)
    axis = torch.tensor([-1.0, 1.0], dtype=like.dtype, device=like.device)
    return torch.cartesian_prod(*[axis] * count).reshape(-1, count)
