"""A mean over draws with its standard error."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Estimate(NamedTuple):
    """A Monte Carlo estimate; both of shape (*batch,).

    Attributes:
        mean: mean over the draws.
        standard_error: std / sqrt(n); infinite where the mean is.
    """

    mean: Tensor
    standard_error: Tensor


def estimate(values: Tensor) -> Estimate:
    """Average independent values, shape (n, *batch), over the first dimension.

    NaN stays NaN, an infinite value gives an infinite mean and error: nothing is dropped.

    Raises:
        ValueError: if there are fewer than two values, which have no standard error.
    """
    n = len(values)
    if n < 2:
        raise ValueError(f"values: got {n} draws; allowed: at least 2")
    mean = values.mean(0)
    error = values.std(0) / n**0.5
    return Estimate(mean, torch.where(mean.isinf(), torch.full_like(error, torch.inf), error))
