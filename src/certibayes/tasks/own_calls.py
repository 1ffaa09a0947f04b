"""The ways in which a user's `simulate` can be called, and what it may return."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from certibayes.config.simulators.own import Convention
from certibayes.tasks.own_errors import WrongShapeError

CONVENTIONS: tuple[Convention, ...] = get_args(Convention)
RANDOM_ARGUMENTS: dict[str, Callable[[int], Any]] = {
    "seed": lambda seed: seed % 2**32,
    "rng": np.random.default_rng,
    "generator": lambda seed: torch.Generator().manual_seed(seed),
}
"""Optional arguments of `simulate` by name, each made from the seed of a call."""


@dataclass(frozen=True)
class Simulate:
    """A user's function with the way to call it.

    Attributes:
        function: `simulate`.
        convention: what it is given.
        dtype: of theta in torch; NumPy gets float64.
    """

    function: Callable[..., Any]
    convention: Convention
    dtype: torch.dtype

    @property
    def batched(self) -> bool:
        """Whether one call takes many thetas."""
        return self.convention.startswith("batched")

    @cached_property
    def _random_arguments(self) -> list[str]:
        try:
            named = inspect.signature(self.function).parameters
        except ValueError:
            return []
        return [name for name in RANDOM_ARGUMENTS if name in named]

    def __call__(self, theta: Tensor, seed: int) -> Any:
        """Return what the function returns for theta, shape (n, theta_dim) or (theta_dim,)."""
        extra = {name: RANDOM_ARGUMENTS[name](seed) for name in self._random_arguments}
        if self.convention.endswith("torch"):
            return self.function(theta.to(self.dtype, copy=True), **extra)
        return self.function(theta.double().numpy().copy(), **extra)


def numbers(value: object) -> np.ndarray:
    """Return what a simulator returned as a float64 array of the same shape.

    Raises:
        TypeError: if it is not an array, a tensor, a number or a list of real numbers.
        WrongShapeError: if it is empty, or a list of rows of different lengths.
    """
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise WrongShapeError(f"got {type(value).__name__}: {error}; allowed: numbers") from None
    if array.size == 0:
        raise WrongShapeError(f"got shape {array.shape}; allowed: at least one number")
    if array.dtype.kind not in "fiub":
        got = f"{type(value).__name__} of {array.dtype} and shape {array.shape}"
        raise TypeError(f"got {got}; allowed: real numbers")
    return np.asarray(array, dtype=np.float64)


def is_of(value: object, convention: Convention) -> bool:
    """Tell whether a result is of the kind that the convention's argument is."""
    return isinstance(value, Tensor) == convention.endswith("torch")
