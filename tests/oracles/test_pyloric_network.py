"""The three-cell network against scipy, closed forms of its parts, and the law of its noise."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from certibayes.tasks.pyloric_network import (
    AREA,
    NOISE_STD,
    STEP,
    SYNAPSES,
    gate_kinetics,
    gate_table,
    voltages,
)
from certibayes.tasks.pyloric_prior import pyloric_prior

STEADY = {  # midpoint and slope in mV, Prinz, Billimoria and Marder (2003)
    **{0: (-25.5, -5.29), 1: (-48.9, 5.18), 2: (-27.1, -7.2), 3: (-32.1, 5.5)},
    **{4: (-33.0, -8.1), 5: (-60.0, 6.2), 6: (-27.2, -8.7), 7: (-56.9, 4.9)},
    **{8: (-28.3, -12.6), 9: (-12.3, -11.8), 10: (-75.0, 5.5), 11: (-35.0, -5.0)},
}
POWERS = np.array([[3, 1], [3, 1], [3, 1], [3, 1], [4, 0], [4, 0], [1, 0]])
ACTIVATION = [0, 2, 4, 6, 8, 9, 10]
INACTIVATION = [1, 3, 5, 7, 0, 0, 0]
CELL_OF = {"AB": 0, "PD": 0, "LP": 1, "PY": 2}
EDGES = [tuple(CELL_OF[end] for end in name.split("-")) for name in SYNAPSES]
SLOW = [name.startswith("PD") for name in SYNAPSES]


def falling(v, midpoint, slope):
    return 1 / (1 + np.exp((v - midpoint) / slope))


def steady_states(v):
    return np.stack([falling(v, *STEADY[gate]) for gate in range(12)])


def time_constants(v):
    return np.stack(
        [
            2.64 - 2.52 * falling(v, -120, -25),
            1.34 * falling(v, -62.9, -10) * (1.5 + falling(v, -34.9, 3.6)),
            43.4 - 42.6 * falling(v, -68.1, -20.5),
            210 - 179.6 * falling(v, -55, -16.9),
            2.8 + 14 / (np.exp((v + 27) / 10) + np.exp((v + 70) / -13)),
            120 + 300 / (np.exp((v + 55) / 9) + np.exp((v + 65) / -16)),
            23.2 - 20.8 * falling(v, -32.9, -15.2),
            77.2 - 58.4 * falling(v, -38.9, -26.5),
            180.6 - 150.2 * falling(v, -46, -22.7),
            14.4 - 12.8 * falling(v, -28.3, -19.2),
            2 / (np.exp(-14.59 - 0.086 * v) + np.exp(-1.87 + 0.0701 * v)),
            40 * falling(v, -35, 5),
        ]
    )


def derivative(_, state, theta):
    """Voltages (3), calcium (3), gates (11 x 3) and synapses (7), in currents of nA."""
    v, calcium, gates, opened = np.split(state, (3, 6, 39))
    gates = gates.reshape(11, 3)
    g = theta[:24].reshape(3, 8).T * AREA * 1e6
    e_calcium = 1e3 * 8.314462618 * 283 / (2 * 96485.33212) * np.log(3000 / calcium)
    reversal = np.array([np.full(3, 50.0), e_calcium, e_calcium, *np.full((3, 3), -80.0)])
    reversal = np.vstack((reversal, np.full(3, -20.0)))
    conducting = gates[ACTIVATION] ** POWERS[:, :1] * gates[INACTIVATION] ** POWERS[:, 1:]
    currents = g[:7] * conducting * (v - reversal) * 1e-3
    total = currents.sum(0) + g[7] * (v + 50) * 1e-3
    steady, tau = steady_states(v), time_constants(v)
    steady[8] *= calcium / (calcium + 3)
    opening = np.empty(7)
    for i, (pre, post) in enumerate(EDGES):
        current = np.exp(theta[24 + i]) * 1e3 * opened[i] * (v[post] - (-80 if SLOW[i] else -70))
        total[post] += current
        opening[i] = (steady[11, pre] - opened[i]) / (tau[11, pre] * (2.5 if SLOW[i] else 1))
    d_calcium = (0.05 - calcium - 14.96 * (currents[1] + currents[2])) / 200
    d_gates = (steady[:11] - gates) / tau[:11]
    return np.concatenate((-total / 0.628, d_calcium, d_gates.ravel(), opening))


def reference(theta, times):
    start = steady_states(np.full(3, -51.0))
    start[8] *= 5 / 8
    levels = (np.full(3, -51.0), np.full(3, 5.0), start[:11].ravel(), np.full(7, start[11, 0]))
    state = np.concatenate(levels)
    found = solve_ivp(
        derivative, (0, times[-1]), state, "LSODA", times, args=(theta,), rtol=1e-10, atol=1e-10
    )
    return found.y[:3].T


def prior_draws(n, seed=0):
    low, high = (bound.numpy() for bound in (pyloric_prior().box.lower, pyloric_prior().box.upper))
    return low + (high - low) * np.random.default_rng(seed).random((n, 31))


def quiet(theta, duration, substeps, every=40):
    noise = np.zeros((round(duration / STEP), 3))
    return voltages(theta, noise, every, gate_table(STEP / substeps), substeps)


def largest_error(found, exact):
    return float((np.abs(found - exact) / np.ptp(exact, axis=0)).max())


def passive(leak=(1.0, 1.0, 1.0)):
    theta = np.zeros(31)
    theta[[7, 15, 23]] = leak
    theta[24:] = -np.inf
    return theta


def test_kinetics_are_those_of_the_literature():
    for v in (-120.0, -70.0, -51.0, -33.3, 0.0, 45.0, 130.0):
        kinetics = gate_kinetics(v)
        np.testing.assert_allclose(kinetics[:, 0], steady_states(v), rtol=1e-12)
        np.testing.assert_allclose(kinetics[:, 1], time_constants(v), rtol=1e-12)


def test_table_interpolates_the_kinetics():
    table = gate_table(STEP)
    v = -140 + 0.0125 * (np.arange(len(table) - 1) + 0.5)
    middle = 0.5 * (table[1:] + table[:-1])
    np.testing.assert_allclose(middle[:, :12], steady_states(v).T, atol=4e-7)
    left = np.exp(-STEP / time_constants(v).T)
    active = v < 60
    np.testing.assert_allclose(middle[active, 12:24], left[active], atol=4e-7)


def test_solution_converges_to_scipy_at_second_order():
    """Among the draws is one that spikes within 40 ms, where the error is well above rounding."""
    times = np.arange(1.0, 41.0)
    orders = []
    for theta in prior_draws(4):
        exact = reference(theta, times)
        errors = [largest_error(quiet(theta, 40, n), exact) for n in (1, 2, 4, 16)]
        assert errors[3] < 1e-4
        if errors[0] > 1e-3:
            orders += [math.log2(errors[0] / errors[1]), math.log2(errors[1] / errors[2])]
    assert len(orders) == 2
    assert all(1.7 < order < 2.3 for order in orders)


@pytest.mark.slow
def test_solution_agrees_with_scipy_on_prior_draws():
    times = np.arange(1.0, 51.0)
    errors = [
        largest_error(quiet(theta, 50, 16), reference(theta, times))
        for theta in prior_draws(200, seed=1)
    ]
    assert np.mean(np.array(errors) < 1e-4) >= 0.99


def test_refined_solver_follows_the_same_noise():
    """The noise is a current, not a property of the step."""
    noise = np.random.default_rng(0).standard_normal((4_000, 3))
    theta = prior_draws(1, seed=5)[0]
    found = [voltages(theta, noise, 40, gate_table(STEP / n), n) for n in (1, 8, 16)]
    without = quiet(theta, 100, 16)
    distance = [np.abs(each - found[2]).max() for each in (*found[:2], without)]
    assert distance[1] < 0.1 * distance[0] or distance[0] < 1e-3
    assert distance[2] > 20 * distance[1]


@pytest.mark.parametrize("synapse", range(7))
def test_synapse_relaxes_in_closed_form(synapse):
    """The presynaptic cell is held at -50 mV; the other follows its synapse without delay."""
    pre, post = EDGES[synapse]
    leak = np.full(3, 200.0)
    leak[pre] = 1e6
    theta = passive(leak)
    conductance = 500.0
    theta[24 + synapse] = math.log(conductance * AREA)
    found = quiet(theta, 200, 1, every=4)[:, post]
    reversal = -80 if SLOW[synapse] else -70
    opened = leak[post] * (-50 - found) / (conductance * (found - reversal))
    first, last = falling(-51.0, -35, -5), falling(-50.0, -35, -5)
    tau = (1 - last) * (100 if SLOW[synapse] else 40)
    times = 4 * STEP * np.arange(1, len(found) + 1)
    expected = last + (first - last) * np.exp(-times / tau)
    late = times > 1
    np.testing.assert_allclose(opened[late], expected[late], atol=2e-5)
    others = [cell for cell in range(3) if cell not in (pre, post)]
    np.testing.assert_allclose(quiet(theta, 200, 1)[-1, others], -50, atol=1e-9)


def test_noise_makes_a_passive_cell_an_autoregressive_process():
    """V' = E + a (V - E) + (1 - a) / g times the noise, a = exp(-g step)."""
    n, leak = 400_000, 0.8
    noise = np.random.default_rng(1).standard_normal((n, 3))
    v = voltages(passive((leak,) * 3), noise, 1, gate_table(STEP))[4_000:] + 50
    a = math.exp(-leak * STEP)
    variance = ((1 - a) / leak * NOISE_STD) ** 2 / (1 - a**2)
    effective = len(v) * (1 - a) / (1 + a)
    np.testing.assert_allclose(v.var(0), variance, rtol=5 * math.sqrt(2 / effective))
    np.testing.assert_allclose(v.mean(0), 0, atol=5 * math.sqrt(variance / effective))
    steps = v[1:] - a * v[:-1]
    covariance = np.cov(steps.T) / ((1 - a) / leak * NOISE_STD) ** 2
    np.testing.assert_allclose(covariance, np.eye(3), atol=5 * math.sqrt(2 / len(v)))


def test_calcium_reversal_potential_follows_nernst():
    """A calcium current alone, at -51 mV and 5 uM: the first step's slope."""
    theta = passive((0.0, 0.0, 0.0))
    theta[1::8][:3] = 1e-3
    open_share = falling(-51.0, -27.1, -7.2) ** 3 * falling(-51.0, -32.1, 5.5)
    slope = 1e-3 * open_share * (12.193 * math.log(3000 / 5) + 51)
    found = voltages(theta, np.zeros((1, 3)), 1, gate_table(STEP))
    np.testing.assert_allclose((found[0] + 51) / STEP, slope, rtol=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e4])
def test_a_diverged_solution_is_none(value):
    theta = prior_draws(1)[0]
    theta[7] = value
    assert quiet(theta, 5, 1) is None
