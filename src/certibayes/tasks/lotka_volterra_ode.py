"""Lotka-Volterra populations in log space: a Dormand-Prince 5(4) pair, compiled.

With a = log u and b = log v the system du/dt = (alpha - beta v) u, dv/dt = (delta u - gamma) v is
da/dt = alpha - beta exp(b), db/dt = -gamma + delta exp(a): no population can reach zero or turn
negative, however deep the trough. Dormand and Prince (1980), J. Comput. Appl. Math. 6, 19-26.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FIRST_STEP = 1e-2
SMALLEST_STEP = 1e-12
MAX_STEPS = 5_000

Floats = NDArray[np.float64]


def log_populations(
    rates: Tensor,
    initial: Tensor,
    times: Tensor,
    tolerance: float = 1e-8,
    max_steps: int = MAX_STEPS,
) -> Tensor:
    """Return log populations (prey, predator) at given times, shape (n, 2, len(times)), float64.

    Every trajectory has steps of its own and lands on every time: no row depends on another.

    Args:
        rates: alpha, beta, gamma, delta, shape (n, 4).
        initial: prey and predator at times[0], shape (n, 2), positive.
        times: increasing times, shape (t,).
        tolerance: bound of the local error of one step, relative to 1 + |log population|.
        max_steps: a trajectory that needs more attempted steps fails.

    Returns:
        Log populations; a trajectory that fails (not finite, steps below 1e-12, too many steps) is
        NaN at all times.
    """
    start = initial.detach().double().log()
    path = np.empty((len(rates), 2, len(times)))
    _solve(
        np.ascontiguousarray(rates.detach().double().numpy()),
        np.ascontiguousarray(start.numpy()),
        np.ascontiguousarray(times.double().numpy()),
        tolerance,
        max_steps,
        path,
    )
    return torch.from_numpy(path)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _solve(
    rates: Floats, start: Floats, times: Floats, tolerance: float, max_steps: int, path: Floats
) -> None:
    """Fill the path, shape (n, 2, len(times)), row by row."""
    for row in range(len(rates)):
        if not _trajectory(rates[row], start[row], times, tolerance, max_steps, path[row]):
            path[row] = np.nan


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _trajectory(
    rates: Floats, start: Floats, times: Floats, tolerance: float, max_steps: int, path: Floats
) -> bool:
    """Fill one path, shape (2, len(times)); tell whether the solution reached the last time."""
    alpha, beta, gamma, delta = rates
    a, b = start
    path[0, 0], path[1, 0] = a, b
    slope_a, slope_b = alpha - beta * math.exp(b), delta * math.exp(a) - gamma
    time, step, target = times[0], FIRST_STEP, 1
    for _ in range(max_steps):
        if target == len(times):
            return True
        lands = step >= times[target] - time
        trial = times[target] - time if lands else step
        new_a, new_b, new_slope_a, new_slope_b, error = _attempt(
            alpha, beta, gamma, delta, a, b, slope_a, slope_b, trial
        )
        ratio = error / tolerance
        proposal = 0.2 * trial
        if ratio < np.inf:
            proposal = trial * min(max(0.9 * max(ratio, 1e-10) ** -0.2, 0.2), 5.0)
        if ratio <= 1.0:
            a, b, slope_a, slope_b = new_a, new_b, new_slope_a, new_slope_b
            if lands:
                time = times[target]
                path[0, target], path[1, target] = a, b
                target += 1
                proposal = max(step, proposal)
            else:
                time += trial
        step = proposal
        if step < SMALLEST_STEP:
            return False
    return target == len(times)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _attempt(
    alpha: float,
    beta: float,
    gamma: float,
    delta: float,
    a: float,
    b: float,
    a1: float,
    b1: float,
    h: float,
) -> tuple[float, float, float, float, float]:
    """Return the state after a step h, its slope (the next first stage) and the relative error."""
    p = a + h * (a1 / 5)
    q = b + h * (b1 / 5)
    a2, b2 = alpha - beta * math.exp(q), delta * math.exp(p) - gamma
    p = a + h * (3 / 40 * a1 + 9 / 40 * a2)
    q = b + h * (3 / 40 * b1 + 9 / 40 * b2)
    a3, b3 = alpha - beta * math.exp(q), delta * math.exp(p) - gamma
    p = a + h * (44 / 45 * a1 - 56 / 15 * a2 + 32 / 9 * a3)
    q = b + h * (44 / 45 * b1 - 56 / 15 * b2 + 32 / 9 * b3)
    a4, b4 = alpha - beta * math.exp(q), delta * math.exp(p) - gamma
    p = a + h * (19372 / 6561 * a1 - 25360 / 2187 * a2 + 64448 / 6561 * a3 - 212 / 729 * a4)
    q = b + h * (19372 / 6561 * b1 - 25360 / 2187 * b2 + 64448 / 6561 * b3 - 212 / 729 * b4)
    a5, b5 = alpha - beta * math.exp(q), delta * math.exp(p) - gamma
    p = a + h * (
        9017 / 3168 * a1 - 355 / 33 * a2 + 46732 / 5247 * a3 + 49 / 176 * a4 - 5103 / 18656 * a5
    )
    q = b + h * (
        9017 / 3168 * b1 - 355 / 33 * b2 + 46732 / 5247 * b3 + 49 / 176 * b4 - 5103 / 18656 * b5
    )
    a6, b6 = alpha - beta * math.exp(q), delta * math.exp(p) - gamma
    p = a + h * (35 / 384 * a1 + 500 / 1113 * a3 + 125 / 192 * a4 - 2187 / 6784 * a5 + 11 / 84 * a6)
    q = b + h * (35 / 384 * b1 + 500 / 1113 * b3 + 125 / 192 * b4 - 2187 / 6784 * b5 + 11 / 84 * b6)
    a7, b7 = alpha - beta * math.exp(q), delta * math.exp(p) - gamma
    error_a = 71 / 57600 * a1 - 71 / 16695 * a3 + 71 / 1920 * a4
    error_a += -17253 / 339200 * a5 + 22 / 525 * a6 - a7 / 40
    error_b = 71 / 57600 * b1 - 71 / 16695 * b3 + 71 / 1920 * b4
    error_b += -17253 / 339200 * b5 + 22 / 525 * b6 - b7 / 40
    relative_a = abs(h * error_a) / (1.0 + max(abs(a), abs(p)))
    relative_b = abs(h * error_b) / (1.0 + max(abs(b), abs(q)))
    error = relative_a if relative_a > relative_b else relative_b
    if not (relative_a < np.inf and relative_b < np.inf):
        error = np.inf
    return p, q, a7, b7, error
