"""Step size that meets a rate of acceptance, by dual averaging (Hoffman and Gelman, 2014)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SHRINKAGE = 0.05
DELAY = 10.0
FORGETTING = 0.75


class DualAveraging:
    """State t, H, log step and its average, in one tensor that lives elsewhere.

    With acceptance a_t: H <- (1 - 1/(t + 10)) H + (target - a_t)/(t + 10),
    log step = log(10 initial) - sqrt(t) H / 0.05, averaged with weights t^-0.75.
    """

    def __init__(self, state: Tensor, initial: float, target: float) -> None:
        """Work on a state.

        Args:
            state: shape (4,), float64; changed in place.
            initial: step size to start from.
            target: rate of acceptance to meet.
        """
        self._state = state
        self._initial = initial
        self._target = target

    def start(self) -> None:
        """Go back to the initial step size."""
        log = math.log(self._initial)
        self._state.copy_(torch.tensor([0.0, 0.0, log, log], dtype=torch.float64))

    def observe(self, acceptance: float) -> None:
        """Adapt to the rate of acceptance of one trajectory, in [0, 1]."""
        count, error, _, average = self._state.tolist()
        count += 1
        error += (self._target - acceptance - error) / (count + DELAY)
        log = math.log(10 * self._initial) - math.sqrt(count) / SHRINKAGE * error
        weight = count**-FORGETTING
        average = weight * log + (1 - weight) * average
        self._state.copy_(torch.tensor([count, error, log, average], dtype=torch.float64))

    @property
    def exploring(self) -> float:
        """Step size while it is adapted."""
        return math.exp(float(self._state[2]))

    @property
    def adapted(self) -> float:
        """Step size to keep."""
        return math.exp(float(self._state[3]))
