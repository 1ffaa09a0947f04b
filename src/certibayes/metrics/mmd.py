"""Maximum mean discrepancy between two samples."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.metrics.standard_error import Estimate

BLOCK = 25


def squared_mmd(a: Tensor, b: Tensor) -> Estimate:
    """Estimate MMD^2 of two distributions from independent draws, without bias.

    Mean over i != j of h_ij = k(a_i, a_j) + k(b_i, b_j) - k(a_i, b_j) - k(b_i, a_j) (Gretton et
    al., 2012, lemma 6), k(s, t) = exp(-||s - t||^2 / (2 w^2)), every dimension in units of the std
    of a, w the median distance between draws of a: in [0, 2] up to noise, 0 = equal. The scale
    and bandwidth are those of a, so compare values with the same reference a only.

    The squared standard error is 4 (n - 2) / (n (n - 1)) z1 + 2 / (n (n - 1)) z2, the variance of a
    U-statistic (Hoeffding, 1948), with z2 the variance of h_ij and z1 that of E[h_ij | i], both
    estimated, z1 at least 0; it leaves out that scale and bandwidth are estimated.

    Args:
        a: reference draws, shape (n, batch, dim).
        b: draws that are compared with them, independent of a, shape (n, batch, dim).

    Returns:
        Estimate and standard error, shape (batch,), float64; the estimate may be negative.

    Raises:
        ValueError: if the shapes differ, a value is not finite, or there are fewer than 4 draws.
    """
    if a.shape != b.shape or a.dim() != 3 or len(a) < 4:
        raise ValueError(
            f"a, b: got shapes {tuple(a.shape)} and {tuple(b.shape)}; "
            "allowed: two equal shapes (n, batch, dim) with n >= 4"
        )
    if not bool(a.isfinite().all() and b.isfinite().all()):
        raise ValueError("a, b: got values that are not finite; allowed: finite draws")
    blocks = zip(a.split(BLOCK, dim=1), b.split(BLOCK, dim=1), strict=True)
    parts = [_block(first.double(), second.double()) for first, second in blocks]
    return Estimate(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _block(a: Tensor, b: Tensor) -> Estimate:
    location, scale = a.mean(0), a.std(0)
    scale = torch.where(scale > 0, scale, 1.0)
    first, second = (((part - location) / scale).transpose(0, 1) for part in (a, b))
    n = len(a)
    apart = ~torch.eye(n, dtype=torch.bool)
    own = _squares(first, first)
    width = own[:, apart].median(-1).values[:, None, None]
    width = torch.where(width > 0, width, 1.0)
    between = _kernel(_squares(first, second), width)
    h = _kernel(own, width) + _kernel(_squares(second, second), width) - between - between.mT
    h = h * apart
    mean = h.sum((1, 2)) / (n * (n - 1))
    all_variance = h.square().sum((1, 2)) / (n * (n - 1)) - mean**2
    of_rows = (h.sum(2) / (n - 1)).var(1)
    row_variance = (of_rows - all_variance / (n - 1)) * (n - 1) / (n - 2)
    variance = 4 * (n - 2) * row_variance.clamp(min=0) + 2 * all_variance.clamp(min=0)
    return Estimate(mean, (variance / (n * (n - 1))).sqrt())


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """Return squared distances, (batch, n, n), of draws (batch, n, dim)."""
    cross = a.square().sum(-1)[:, :, None] + b.square().sum(-1)[:, None, :] - 2 * a @ b.mT
    return cross.clamp(min=0)


def _kernel(squares: Tensor, width: Tensor) -> Tensor:
    return torch.exp(-0.5 * squares / width)
