"""The unit ball of the l1 norm: nearest points, uniform points, vertices."""

from __future__ import annotations

import torch
from torch import Tensor


def nearest(point: Tensor, cap: Tensor) -> Tensor:
    """Return the nearest u with sum_i |u_i| <= 1 and |u_i| <= cap_i, both of shape (batch, d).

    u_i = sign(p_i) min(max(|p_i| - t, 0), cap_i), t >= 0 the smallest for which the sum is at most
    1: the Euclidean projection onto the intersection of ball and box (Croce and Hein, 2021). The
    sum is piecewise linear in t; its breakpoints are sorted. Rounding is undone by shrinking
    towards 0, which leaves neither set.

    Args:
        point: p.
        cap: largest |u_i| on the side of p_i, >= 0; infinite = none.
    """
    size = point.abs()
    kept = torch.minimum(size, cap)
    total = kept.sum(-1, keepdim=True)
    threshold = torch.where(total > 1, _threshold(size, size - kept, total), 0.0)
    u = torch.minimum((size - threshold).clamp(min=0), cap)
    return point.sign() * u / u.sum(-1, keepdim=True).clamp(min=1.0)


def _threshold(size: Tensor, start: Tensor, total: Tensor) -> Tensor:
    """Return t, shape (batch, 1): entry i shrinks while t is between start_i and size_i."""
    edges, order = torch.cat([start, size], -1).sort(-1)
    change = torch.cat([torch.ones_like(start), -torch.ones_like(size)], -1)
    slope = change.gather(-1, order).cumsum(-1)[..., :-1]
    shrunk = (slope * edges.diff(dim=-1)).cumsum(-1)
    left = torch.cat([total, total - shrunk], -1)
    interval = (left[..., 1:] > 1).sum(-1, keepdim=True).clamp(max=slope.shape[-1] - 1)
    excess = left.gather(-1, interval) - 1
    return edges.gather(-1, interval) + excess / slope.gather(-1, interval).clamp(min=1.0)


def uniform(like: Tensor, free: Tensor, generator: torch.Generator) -> Tensor:
    """Draw one point of the ball per row of `like`, (batch, d), zero where `free` is False.

    Exponential variables E_0, ..., E_d divided by their sum, E_0 left out, signs at random: uniform
    in the ball. Random numbers are drawn on the CPU.

    Args:
        like: gives shape, precision and device.
        free: coordinates that vary, bool, shape (d,).
        generator: source of the draws.
    """
    batch, d = like.shape
    size = -torch.rand(batch, d + 1, generator=generator, dtype=like.dtype).neg().log1p()
    sign = torch.randint(2, (batch, d), generator=generator).to(like) * 2 - 1
    size = size.to(like.device)
    moved = size[:, 1:] * free
    total = size[:, :1] + moved.sum(-1, keepdim=True)
    return sign * moved / total.clamp(min=torch.finfo(like.dtype).tiny)


def vertex(slope: Tensor) -> Tensor:
    """Return the vertex that maximizes slope . u, shape (batch, d); 0 where the slope is 0."""
    place = slope.abs().argmax(-1, keepdim=True)
    return torch.zeros_like(slope).scatter(-1, place, slope.gather(-1, place).sign())
