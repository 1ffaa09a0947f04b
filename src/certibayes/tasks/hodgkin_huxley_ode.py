"""One compartment with sodium, potassium, M-type and leak currents: an adaptive solver.

Gate kinetics after Pospischil et al. (2008). All compiled functions that call one another lie in
this file, because numba's cache of a function ignores edits of other files.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

STATES = 5
"""V in mV, then the open fractions m, h, n, p."""
TOLERANCE = 1e-8
MAX_STEPS = 100_000
_SMALLEST_STEP = 1e-9
_SCALE = (100.0, 1.0, 1.0, 1.0, 1.0)

Floats = NDArray[np.float64]

_A = (
    (1 / 5, 0.0, 0.0, 0.0, 0.0, 0.0),
    (3 / 40, 9 / 40, 0.0, 0.0, 0.0, 0.0),
    (44 / 45, -56 / 15, 32 / 9, 0.0, 0.0, 0.0),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729, 0.0, 0.0),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656, 0.0),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
_DENSE = (
    -12715105075 / 11282082432,
    0.0,
    87487479700 / 32700410799,
    -10690763975 / 1880347072,
    701980252875 / 199316789632,
    -1453857185 / 822651844,
    69997945 / 29380423,
)
_A_ARRAY, _ERROR_ARRAY = np.array(_A), np.array(_ERROR)
_DENSE_ARRAY, _SCALE_ARRAY = np.array(_DENSE), np.array(_SCALE)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def relative_exponential(z: float) -> float:
    """Return z / (exp(z) - 1), continued by its series at 0."""
    if abs(z) < 1e-4:
        return 1.0 - z / 2.0
    return z / (math.exp(z) - 1.0)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def fast_rates(u: float) -> tuple[float, float, float, float, float, float]:
    """Return opening and closing rates of m, h, n in 1/ms at u = V - V_T in mV."""
    alpha_m = 0.32 * relative_exponential(-0.25 * (u - 13.0)) / 0.25
    beta_m = 0.28 * relative_exponential(0.2 * (u - 40.0)) / 0.2
    alpha_h = 0.128 * math.exp(-(u - 17.0) / 18.0)
    beta_h = 4.0 / (1.0 + math.exp(-0.2 * (u - 40.0)))
    alpha_n = 0.032 * relative_exponential(-0.2 * (u - 15.0)) / 0.2
    beta_n = 0.5 * math.exp(-(u - 10.0) / 40.0)
    return alpha_m, beta_m, alpha_h, beta_h, alpha_n, beta_n


@numba.njit(cache=True, nogil=True, error_model="numpy")
def slow_gate(v: float) -> tuple[float, float]:
    """Return p_inf and tau_max / tau_p of the M-type gate at V in mV."""
    growth = math.exp(0.05 * (v + 35.0))
    return 1.0 / (1.0 + 1.0 / (growth * growth)), 3.3 * growth + 1.0 / growth


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _slope(y: Floats, cell: Floats, current: float, slope: Floats) -> None:
    g_na, g_k, g_m, g_leak, e_na, e_k, e_leak, threshold, tau_max, factor = cell
    v, m, h, n, p = y
    alpha_m, beta_m, alpha_h, beta_h, alpha_n, beta_n = fast_rates(v - threshold)
    p_inf, speed = slow_gate(v)
    sodium = g_na * m * m * m * h * (e_na - v)
    potassium = (g_k * n * n * n * n + g_m * p) * (e_k - v)
    slope[0] = factor * (sodium + potassium + g_leak * (e_leak - v) + current)
    slope[1] = alpha_m * (1.0 - m) - beta_m * m
    slope[2] = alpha_h * (1.0 - h) - beta_h * h
    slope[3] = alpha_n * (1.0 - n) - beta_n * n
    slope[4] = (p_inf - p) * speed / tau_max


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _try_step(
    y: Floats, cell: Floats, current: float, step: float, k: Floats, end: Floats, tolerance: float
) -> float:
    """Fill k[1:] and `end`; return the error in units of the tolerance."""
    for stage in range(6):
        for i in range(STATES):
            total = 0.0
            for j in range(stage + 1):
                total += _A_ARRAY[stage, j] * k[j, i]
            end[i] = y[i] + step * total
        _slope(end, cell, current, k[stage + 1])
    largest = 0.0
    for i in range(STATES):
        total = 0.0
        for j in range(7):
            total += _ERROR_ARRAY[j] * k[j, i]
        error = abs(step * total) / (tolerance * _SCALE_ARRAY[i])
        if not error <= largest:
            largest = error
    return largest


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _solve_piece(
    y: Floats,
    cell: Floats,
    current: float,
    start: float,
    stop: float,
    times: Floats,
    path: Floats,
    tolerance: float,
) -> bool:
    """Advance y from start to stop and fill the path at times in (start, stop]."""
    k = np.empty((7, STATES))
    end = np.empty(STATES)
    _slope(y, cell, current, k[0])
    column = np.searchsorted(times, start, side="right")
    t, step = start, 1e-3
    for _ in range(MAX_STEPS):
        final = t + step >= stop
        if final:
            step = stop - t
        error = _try_step(y, cell, current, step, k, end, tolerance)
        if not math.isfinite(error):
            step *= 0.1
        elif error > 1.0:
            step *= max(0.2, 0.9 * error**-0.2)
        else:
            reached = stop if final else t + step
            while column < len(times) and times[column] <= reached:
                s = (times[column] - t) / step
                for i in range(STATES):
                    rise = end[i] - y[i]
                    bend = step * k[0, i] - rise
                    twist = 0.0
                    for j in range(7):
                        twist += _DENSE_ARRAY[j] * k[j, i]
                    inner = rise - step * k[6, i] - bend + (1.0 - s) * step * twist
                    path[i, column] = y[i] + s * (rise + (1.0 - s) * (bend + s * inner))
                column += 1
            y[:] = end
            k[0] = k[6]
            t = reached
            if final:
                return True
            step *= min(5.0, 0.9 * max(error, 1e-10) ** -0.2)
        if step < _SMALLEST_STEP:
            return False
    return False


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _solve_all(
    cells: Floats,
    initial: float,
    edges: Floats,
    currents: Floats,
    times: Floats,
    tolerance: float,
    paths: Floats,
) -> None:
    for row in range(len(cells)):
        cell, path = cells[row], paths[row]
        y = np.empty(STATES)
        a_m, b_m, a_h, b_h, a_n, b_n = fast_rates(initial - cell[7])
        y[0] = initial
        y[1], y[2], y[3] = a_m / (a_m + b_m), a_h / (a_h + b_h), a_n / (a_n + b_n)
        y[4] = slow_gate(initial)[0]
        for i in range(STATES):
            for column in range(len(times)):
                if times[column] <= edges[0]:
                    path[i, column] = y[i]
        solved = bool(np.all(np.isfinite(cell)))
        for piece in range(len(currents)):
            solved = solved and _solve_piece(
                y, cell, currents[piece], edges[piece], edges[piece + 1], times, path, tolerance
            )
        if not (solved and np.all(np.isfinite(path))):
            path[:] = np.nan


def solve(
    cells: Floats,
    initial: float,
    edges: Floats,
    currents: Floats,
    times: Floats,
    tolerance: float = TOLERANCE,
) -> Floats:
    """Solve the cells one after another; a failed solution is NaN throughout.

    With u = V - V_T, dV/dt = f (g_Na m^3 h (E_Na - V) + (g_K n^4 + g_M p) (E_K - V)
    + g_leak (E_leak - V) + I) and each gate relaxes as dx/dt = alpha(u) (1 - x) - beta(u) x, p as
    (p_inf(V) - p) / tau_p(V), all from their steady states at the initial voltage. Dormand-Prince
    5(4) with error-controlled steps, restarted where the current jumps, and its interpolant of
    order 4 at the requested times (Dormand and Prince, 1980; Hairer, Norsett and Wanner, 1993).

    Args:
        cells: shape (n, 10): g_Na, g_K, g_M, g_leak in mS/cm^2, E_Na, E_K, E_leak, V_T in mV,
            tau_max in ms, f in cm^2/uF.
        initial: V at the first edge, mV.
        edges: ascending times at which the current jumps, with start and end, shape (pieces + 1,).
        currents: uA/cm^2 in each piece, shape (pieces,).
        times: ascending, within the edges, shape (points,), ms.
        tolerance: local error per step, relative to 100 mV and to 1 for gates.

    Returns:
        V, m, h, n, p over time, shape (n, 5, points).
    """
    paths: Floats = np.full((len(cells), STATES, len(times)), np.nan)
    _solve_all(cells, initial, edges, currents, times, tolerance, paths)
    return paths
