"""Supports in a data type and on a device: bounds that are tensors would otherwise decide both."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor
from torch.distributions.constraints import Constraint


def support_like(support: Constraint, theta: Tensor) -> Constraint:
    """Return a support whose bounds have theta's data type and device; plain numbers stay.

    Rounding keeps order, so theta inside the support is inside after both are rounded.
    """
    return _converted(support, theta)


def _converted(value: Any, like: Tensor) -> Any:
    if isinstance(value, Tensor):
        return value.to(like) if value.is_floating_point() else value.to(like.device)
    if isinstance(value, list | tuple):
        return type(value)(_converted(item, like) for item in value)
    if isinstance(value, Constraint) and vars(value):
        own = copy.copy(value)
        vars(own).update({name: _converted(item, like) for name, item in vars(value).items()})
        return own
    return value
