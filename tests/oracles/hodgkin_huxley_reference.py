"""A slow, independent solution of the Hodgkin-Huxley task in plain Python."""

import math

import numpy as np
from scipy.integrate import solve_ivp

TIMES = np.linspace(0, 60, 200)
AREA = math.pi * 0.007**2


def rising(x, slope):
    """x / (1 - exp(-x / slope)), with its limit at 0."""
    return slope if abs(x) < 1e-9 else x / -math.expm1(-x / slope)


def rates(v, threshold=-60.0):
    """Opening and closing rates of m, h, n, as printed by Pospischil et al. (2008)."""
    u = v - threshold
    return (
        (0.32 * rising(u - 13, 4), 0.28 * rising(40 - u, 5)),
        (0.128 * math.exp((17 - u) / 18), 4 / (1 + math.exp((40 - u) / 5))),
        (0.032 * rising(u - 15, 5), 0.5 * math.exp((10 - u) / 40)),
    )


def slow(v, tau_max=600.0):
    """p_inf and tau_p."""
    z = (v + 35) / 20
    return 1 / (1 + math.exp(-2 * z)), tau_max / (3.3 * math.exp(z) + math.exp(-z))


def steady(v):
    return [v, *(a / (a + b) for a, b in rates(v)), slow(v)[0]]


def solve(theta, multiplies=False, current=5e-4 / AREA, rtol=1e-10):
    """V, m, h, n, p at the observed times, shape (5, 200), or None if the solver fails."""
    g_na, g_k, g_m, capacitance, e_leak, e_na, e_k = (float(z) for z in theta)
    factor = capacitance if multiplies else 1 / capacitance

    def slope(_, y, injected):
        v, *gates, p = y.tolist()
        m, h, n = gates
        flow = g_na * m**3 * h * (e_na - v) + (g_k * n**4 + g_m * p) * (e_k - v)
        flow += 0.1 * (e_leak - v) + injected
        moves = [a * (1 - x) - b * x for x, (a, b) in zip(gates, rates(v), strict=True)]
        p_inf, tau = slow(v)
        return [factor * flow, *moves, (p_inf - p) / tau]

    y, pieces = np.array(steady(-70.0)), []
    for start, stop, injected in ((0, 10, 0.0), (10, 50, current), (50, 60, 0.0)):
        inside = TIMES[(start <= TIMES) & ((stop > TIMES) | (stop == 60))]
        times = np.append(inside[inside < stop], stop)
        solution = solve_ivp(
            slope, (start, stop), y, "DOP853", times, args=(injected,), rtol=rtol, atol=1e-12
        )
        if not solution.success:
            return None
        pieces.append(solution.y[:, : len(inside)])
        y = solution.y[:, -1]
    return np.concatenate(pieces, 1)


def spike_count(voltage):
    """Rises through 0 mV, shape (*, points) to (*)."""
    return ((voltage[..., :-1] < 0) & (voltage[..., 1:] >= 0)).sum(-1)
