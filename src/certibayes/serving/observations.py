"""Observations as users hand them over: numpy, torch or lists, one or many."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

Numbers = Tensor | np.ndarray | list[float] | list[list[float]]
"""What is taken for x, theta or draws; everything becomes float64 on the CPU."""


def rows(x: Numbers, width: int, name: str = "x", attached: bool = False) -> Tensor:
    """Return x as float64, shape (batch, width); one observation is a batch of one.

    Args:
        x: shape (width,) or (batch, width).
        width: numbers in a row.
        name: what the message calls it.
        attached: whether gradients flow back to x.

    Raises:
        ValueError: if the shape is another, or a number is not finite.
    """
    given = torch.as_tensor(x) if attached else torch.as_tensor(x).detach()
    values = torch.atleast_2d(given.to("cpu", torch.float64))
    if values.ndim != 2 or values.shape[1] != width or len(values) == 0:
        raise ValueError(
            f"{name}: got shape {tuple(values.shape)}; allowed: ({width},) or (batch, {width})"
        )
    if not bool(values.isfinite().all()):
        raise ValueError(f"{name}: got NaN or infinite values; allowed: finite numbers")
    return values


def single(x: Numbers, width: int) -> Tensor:
    """Return one observation as float64, shape (1, width).

    Raises:
        ValueError: if x holds more than one, or is malformed.
    """
    values = rows(x, width)
    if len(values) != 1:
        raise ValueError(f"x: got {len(values)} observations; allowed: 1, or the batched methods")
    return values
