"""Real observations in the shapes in which people have them."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.config.errors import ConfigError
from certibayes.tasks.own_calls import numbers


def as_observed(value: object, x_shape: tuple[int, ...]) -> Tensor:
    """Return one or several observations, flattened, shape (m, x_dim), float64.

    Args:
        value: numbers of shape x_shape or (x_dim,), or m of them.
        x_shape: of one x.

    Raises:
        ConfigError: if the shape is another, or a number is not finite.
    """
    array = numbers(value)
    x_dim = int(torch.Size(x_shape).numel())
    if array.shape in (x_shape, (x_dim,)):
        array = array[None]
    elif array.shape[1:] not in (x_shape, (x_dim,)):
        allowed = f"{x_shape} or (m, ...) of that"
        raise ConfigError(f"observed: got shape {array.shape}; allowed: {allowed}")
    observed = torch.from_numpy(array.reshape(len(array), x_dim).copy())
    if not observed.isfinite().all():
        raise ConfigError("observed: got a number that is not finite; allowed: finite numbers")
    return observed
