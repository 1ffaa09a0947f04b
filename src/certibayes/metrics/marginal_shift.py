"""How far each parameter's marginal posterior moves."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class MarginalShift(NamedTuple):
    """Per observation and parameter; all of shape (batch, theta_dim).

    Attributes:
        mean_shift: |mean' - mean| / std.
        std_ratio: std' / std.
        wasserstein: Wasserstein-1 distance of the two marginals / std.
    """

    mean_shift: Tensor
    std_ratio: Tensor
    wasserstein: Tensor


def marginal_shift(clean: Tensor, attacked: Tensor) -> MarginalShift:
    """Compare marginals from draws, in units of the clean posterior's std (that of the draws).

    W1 is the mean distance of draws of equal rank. All three have noise floors: equal posteriors
    give a mean shift of about 1.1 / sqrt(n) and (if Gaussian) a W1 of about
    1.8 / sqrt(n) on average.

    Args:
        clean: draws from q(. | x), shape (n, batch, theta_dim).
        attacked: independent draws from q(. | x'), shape (n, batch, theta_dim).

    Raises:
        ValueError: if the shapes differ or there are fewer than two draws.
    """
    if clean.shape != attacked.shape or len(clean) < 2:
        raise ValueError(
            f"clean, attacked: got shapes {tuple(clean.shape)} and {tuple(attacked.shape)}; "
            "allowed: two equal shapes (n, batch, theta_dim) with n >= 2"
        )
    std = clean.std(0).clamp(min=torch.finfo(clean.dtype).tiny)
    shift = (attacked.mean(0) - clean.mean(0)).abs() / std
    distance = (attacked.sort(0).values - clean.sort(0).values).abs().mean(0) / std
    return MarginalShift(shift, attacked.std(0) / std, distance)
