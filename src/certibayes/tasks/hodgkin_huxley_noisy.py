"""One compartment under noisy current: exponential Euler with tabulated gates.

The model of `hodgkin_huxley_ode` with white current noise. All compiled functions that call one
another lie in this file, because numba's cache of a function ignores edits of other files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from certibayes.tasks.hodgkin_huxley_ode import fast_rates, slow_gate

STEP = 0.02
"""ms; also the sampling interval of the recordings."""
E_NA, E_K = 53.0, -107.0
_SPACING = 0.05
_LOWEST, _HIGHEST = -300.0, 300.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stimulus:
    """What a cell receives, and where it starts.

    Attributes:
        initial: V at time 0, mV.
        current: uA/cm^2 during the step, 0 before and after.
        on, off: first and last sample with current, which moves the sample after it.
        samples: number of voltages.
    """

    initial: float
    current: float
    on: int
    off: int
    samples: int


def gate_tables(step: float = STEP) -> Floats:
    """Return what one step does to the gates, on a grid of 0.05 mV from -300 to 300 mV.

    Args:
        step: ms.

    Returns:
        Shape (12,001, 8). Columns 0-5, by V - V_T: steady state and share of the way to it for m,
        h, n; columns 6 and 7, by V: p_inf and tau_max / tau_p.
    """
    grid = np.linspace(_LOWEST, _HIGHEST, round((_HIGHEST - _LOWEST) / _SPACING) + 1)
    rates = np.array([fast_rates(u) for u in grid])
    opening, closing = rates[:, 0::2], rates[:, 1::2]
    total = opening + closing
    table = np.empty((len(grid), 8))
    table[:, 0:6:2] = opening / total
    table[:, 1:6:2] = -np.expm1(-step * total)
    table[:, 6:] = [slow_gate(v) for v in grid]
    return table


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _place(value: float) -> tuple[int, float]:
    position = (min(max(value, _LOWEST), _HIGHEST) - _LOWEST) / _SPACING
    index = min(int(position), round((_HIGHEST - _LOWEST) / _SPACING) - 1)
    return index, position - index


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _look_up(table: Floats, index: int, share: float, column: int) -> float:
    low, high = table[index, column], table[index + 1, column]
    return low + share * (high - low)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _integrate(
    theta: Floats,
    initial: float,
    current: float,
    on: int,
    off: int,
    step: float,
    noise: NDArray[np.float32],
    table: Floats,
    voltage: Floats,
) -> None:
    g_na, g_k, g_leak, g_m, tau_max, minus_threshold, sigma, minus_e_leak = theta
    index, share = _place(initial + minus_threshold)
    m = _look_up(table, index, share, 0)
    h = _look_up(table, index, share, 2)
    n = _look_up(table, index, share, 4)
    index, share = _place(initial)
    p = _look_up(table, index, share, 6)
    scale = sigma / math.sqrt(step)
    v = initial
    voltage[0] = v
    for i in range(1, len(voltage)):
        sodium = g_na * m * m * m * h
        potassium = g_k * n * n * n * n + g_m * p
        total = sodium + potassium + g_leak
        drive = sodium * E_NA + potassium * E_K - g_leak * minus_e_leak + scale * noise[i - 1]
        if on < i <= off + 1:
            drive += current
        rest = drive / total
        v = rest + (v - rest) * math.exp(-step * total)
        index, share = _place(v + minus_threshold)
        m += (_look_up(table, index, share, 0) - m) * _look_up(table, index, share, 1)
        h += (_look_up(table, index, share, 2) - h) * _look_up(table, index, share, 3)
        n += (_look_up(table, index, share, 4) - n) * _look_up(table, index, share, 5)
        index, share = _place(v)
        rate = _look_up(table, index, share, 7) / tau_max
        p += (_look_up(table, index, share, 6) - p) * (1.0 - math.exp(-step * rate))
        voltage[i] = v


def integrate(
    theta: Floats,
    stimulus: Stimulus,
    noise: NDArray[np.float32],
    table: Floats,
    step: float = STEP,
) -> Floats:
    """Return the voltage of one noisy cell after every step, shape (samples,).

    With the gates of `hodgkin_huxley_ode.solve` and C = 1 uF/cm^2, C dV/dt = g_Na m^3 h (E_Na - V)
    + (g_K n^4 + g_M p) (E_K - V) + g_leak (E_leak - V) + I(t) + sigma dW/dt. In every step
    the current noise is sigma / sqrt(step) times a normal number, so that its effect does not
    depend on the step; V relaxes exponentially at constant gates, then the gates at constant V (as
    Goncalves et al., 2020). A cell whose theta is not finite is NaN throughout.

    Args:
        theta: g_Na, g_K, g_leak, g_M in mS/cm^2, tau_max in ms, -V_T in mV, sigma in
            uA sqrt(ms)/cm^2, -E_leak in mV; shape (8,).
        stimulus: current step and initial voltage.
        noise: standard normal, shape (samples - 1,).
        table: of `gate_tables`, for the same step.
        step: ms.
    """
    voltage: Floats = np.full(stimulus.samples, np.nan)
    if np.isfinite(theta).all():
        ends = (stimulus.initial, stimulus.current, stimulus.on, stimulus.off)
        _integrate(theta, *ends, step, noise, table, voltage)
    return voltage
