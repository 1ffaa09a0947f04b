"""Probabilities of a softmax between linear functions of the logits, over boxes of margins."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.bounds import Interval

REACH = 0.5
"""How far inside the box the plane below log sum exp touches, at most."""


def difference_bounds(margins: Interval, y: Tensor) -> Interval:
    """Return bounds of p_k - p_y, p = softmax(z), over a box of margins; 0 at k = y.

    p_k = 1 / sum_j exp(z_j - z_k) falls with every margin, and with m = z_k - z_y
    p_k - p_y = p_y (exp(m) - 1) = p_k (1 - exp(-m)); the tightest of these counts.

    Args:
        margins: of z_j - z_k at [..., k, j], shape (*, batch, classes, classes).
        y: labels, shape (batch,).

    Returns:
        Shape (*, batch, classes).
    """
    least = torch.exp(-margins.upper.logsumexp(-1))
    most = torch.exp(-margins.lower.logsumexp(-1))
    low, high = row(margins.lower, y), row(margins.upper, y)
    label_least, label_most = (_entry(p, y).unsqueeze(-1) for p in (least, most))
    by_ratio = torch.where(high > 0, -torch.expm1(-high) * most, torch.expm1(high) * label_least)
    from_ratio = torch.where(low > 0, -torch.expm1(-low) * least, torch.expm1(low) * label_most)
    return Interval(
        torch.maximum(least - label_most, from_ratio.clamp(min=-1.0)),
        torch.minimum(most - label_least, by_ratio.clamp(max=1.0)),
    )


def planes_above(margins: Interval, y: Tensor) -> tuple[Tensor, Tensor]:
    """Bound p_k - p_y from above by linear functions of the logits over a box of margins.

    p_k = exp(-u), u the log of sum_j exp(z_j - z_k): a chord above exp(-u), with its negative slope
    on a tangent plane below the convex u. p_y = 1 / t, t = sum_j exp(z_j - z_y): the tangent
    2 / s - t / s^2 <= 1 / t at s > 0, with chords above every exponential of t.

    Args:
        margins: as for `difference_bounds`, shape (batch, classes, classes).
        y: labels, shape (batch,).

    Returns:
        Coefficients on the logits, shape (batch, classes, classes), and offsets, (batch, classes):
        p_k - p_y <= coefficients[:, k] . z + offset[:, k]; zero at k = y.
    """
    classes = margins.lower.shape[-1]
    identity = torch.eye(classes).to(margins.lower)
    slope, offset = _above(margins, identity)
    label_slope, label_offset = _below(row(margins.lower, y), row(margins.upper, y), identity[y])
    slope, offset = slope - label_slope.unsqueeze(-2), offset - label_offset.unsqueeze(-1)
    rival = 1 - identity[y]
    return slope * rival.unsqueeze(-1), offset * rival


def row(values: Tensor, y: Tensor) -> Tensor:
    """Return what belongs to the label: values[..., b, y_b, :] of (*, batch, classes, classes)."""
    return values[..., torch.arange(len(y), device=y.device), y, :]


def _entry(values: Tensor, y: Tensor) -> Tensor:
    return values[..., torch.arange(len(y), device=y.device), y]


def _above(margins: Interval, identity: Tensor) -> tuple[Tensor, Tensor]:
    low, high = margins.lower.logsumexp(-1), margins.upper.logsumexp(-1)
    chord = -_mean_slope(-high, -low)
    at = margins.lower + margins.radius.clamp(max=REACH)
    share = at.softmax(-1)
    tangent = at.logsumexp(-1) - (share * at).sum(-1)
    offset = torch.exp(-low) + chord * (tangent - low)
    return chord.unsqueeze(-1) * (share - identity), offset


def _below(low: Tensor, high: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    scale = high.amax(-1, keepdim=True)
    low, high = low - scale, high - scale
    slope = _mean_slope(low, high)
    touching = (low.exp() + high.exp()).sum(-1) / 2
    factor = -torch.exp(-scale.squeeze(-1)) / touching.square()
    at_zero = (low.exp() - slope * (low + scale)).sum(-1)
    offset = 2 * torch.exp(-scale.squeeze(-1)) / touching + factor * at_zero
    coefficients = slope - slope.sum(-1, keepdim=True) * label
    return factor.unsqueeze(-1) * coefficients, offset


def _mean_slope(low: Tensor, high: Tensor) -> Tensor:
    """Return (exp(high) - exp(low)) / (high - low), its limit where they are equal."""
    width = high - low
    safe = torch.where(width > 0, width, torch.ones_like(width))
    share = torch.where(width > 0, -torch.expm1(-safe) / safe, torch.ones_like(width))
    return torch.exp(high) * share
