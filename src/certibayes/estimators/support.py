"""Supports in a data type: bounds that are tensors would otherwise decide the type of theta."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint


def in_dtype(support: Constraint, dtype: torch.dtype) -> Constraint:
    """Return a support whose bounds have a floating data type; plain numbers stay.

    Rounding keeps order, so theta inside the support is inside after both are rounded.
    """
    return _converted(support, dtype)


def _converted(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, list | tuple):
        return type(value)(_converted(item, dtype) for item in value)
    if isinstance(value, Constraint) and vars(value):
        own = copy.copy(value)
        vars(own).update({name: _converted(item, dtype) for name, item in vars(value).items()})
        return own
    return value
