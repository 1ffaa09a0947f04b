"""Three conductance-based cells and their seven synapses: Prinz, Bucher and Marder (2004).

All compiled functions that call one another lie in this file, because numba's cache of a function
ignores edits of other files.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

STEP = 0.025
"""ms; the noise current is constant for so long."""
CELLS = ("AB/PD", "LP", "PY")
AREA = 0.628e-3
"""cm^2 of membrane; with 0.628 nF this makes 1 uF/cm^2."""
NOISE_STD = 0.001 / AREA
"""uA/cm^2: 0.001 uA into the membrane of a cell, drawn afresh every 0.025 ms."""
SYNAPSES = ("AB-LP", "PD-LP", "AB-PY", "PD-PY", "LP-PD", "LP-PY", "PY-LP")
LOWEST, HIGHEST = -140.0, 180.0

_SPACING = 0.0125
_START_V, _START_CALCIUM = -51.0, 5.0
_E_NA, _E_K, _E_H, _E_LEAK = 50.0, -80.0, -20.0, -50.0
_NERNST = 1e3 * 8.314462618 * 283.0 / (2 * 96485.33212)
_CALCIUM_OUTSIDE, _CALCIUM_REST, _CALCIUM_TAU = 3000.0, 0.05, 200.0
_CALCIUM_PER_CURRENT = 14.96 * 1e3 * AREA
_GATES, _COLUMNS = 12, 25
_SYNAPSE_GATE = 11
_PRE = np.array([0, 0, 0, 0, 1, 1, 2])
_POST = np.array([1, 1, 2, 2, 0, 2, 1])
_REVERSAL = np.array([-70.0, -80.0, -70.0, -80.0, -70.0, -70.0, -70.0])
_DECAY_COLUMN = np.array([23, 24, 23, 24, 23, 23, 23])

Floats = NDArray[np.float64]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _sigmoid(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def gate_kinetics(v: float) -> Floats:
    """Return steady state and time constant (ms) of every gate at V (mV), shape (12, 2).

    In the order m, h of Na, CaT, CaS, A; m of KCa (without its calcium factor), Kd, H; and a
    synapse with closing rate 1/40 per ms by the voltage of its presynaptic cell.
    """
    out = np.empty((_GATES, 2))
    out[0] = _sigmoid((v + 25.5) / 5.29), 2.64 - 2.52 * _sigmoid((v + 120.0) / 25.0)
    tau = 1.34 * _sigmoid((v + 62.9) / 10.0) * (1.5 + _sigmoid(-(v + 34.9) / 3.6))
    out[1] = _sigmoid(-(v + 48.9) / 5.18), tau
    out[2] = _sigmoid((v + 27.1) / 7.2), 43.4 - 42.6 * _sigmoid((v + 68.1) / 20.5)
    out[3] = _sigmoid(-(v + 32.1) / 5.5), 210.0 - 179.6 * _sigmoid((v + 55.0) / 16.9)
    tau = 2.8 + 14.0 / (math.exp((v + 27.0) / 10.0) + math.exp(-(v + 70.0) / 13.0))
    out[4] = _sigmoid((v + 33.0) / 8.1), tau
    tau = 120.0 + 300.0 / (math.exp((v + 55.0) / 9.0) + math.exp(-(v + 65.0) / 16.0))
    out[5] = _sigmoid(-(v + 60.0) / 6.2), tau
    out[6] = _sigmoid((v + 27.2) / 8.7), 23.2 - 20.8 * _sigmoid((v + 32.9) / 15.2)
    out[7] = _sigmoid(-(v + 56.9) / 4.9), 77.2 - 58.4 * _sigmoid((v + 38.9) / 26.5)
    out[8] = _sigmoid((v + 28.3) / 12.6), 180.6 - 150.2 * _sigmoid((v + 46.0) / 22.7)
    out[9] = _sigmoid((v + 12.3) / 11.8), 14.4 - 12.8 * _sigmoid((v + 28.3) / 19.2)
    tau = 2.0 / (math.exp(-14.59 - 0.086 * v) + math.exp(-1.87 + 0.0701 * v))
    out[10] = _sigmoid(-(v + 75.0) / 5.5), tau
    out[11] = _sigmoid((v + 35.0) / 5.0), 40.0 * _sigmoid(-(v + 35.0) / 5.0)
    return out


@numba.njit(cache=True, nogil=True, error_model="numpy")
def gate_table(step: float) -> Floats:
    """Return what a step in ms does to the gates, on a grid of 0.0125 mV from -140 to 180 mV.

    Returns:
        Shape (25601, 25): twelve steady states, in the order of `gate_kinetics`, the share of the
        distance to them that is left after one step, and that share for a synapse with closing
        rate 1/100 per ms.
    """
    table = np.empty((round((HIGHEST - LOWEST) / _SPACING) + 1, _COLUMNS))
    for i in range(len(table)):
        kinetics = gate_kinetics(LOWEST + i * _SPACING)
        table[i, :_GATES] = kinetics[:, 0]
        table[i, _GATES : 2 * _GATES] = np.exp(-step / kinetics[:, 1])
        table[i, 2 * _GATES] = math.exp(-step / (2.5 * kinetics[_SYNAPSE_GATE, 1]))
    return table


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _calcium_change(calcium: float, conductance: float, v: float) -> float:
    reversal = _NERNST * math.log(_CALCIUM_OUTSIDE / calcium)
    inflow = -_CALCIUM_PER_CURRENT * conductance * (v - reversal)
    return (inflow + _CALCIUM_REST - calcium) / _CALCIUM_TAU


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _integrate(
    membrane: Floats,
    synaptic: Floats,
    noise: Floats,
    table: Floats,
    step: float,
    substeps: int,
    every: int,
    out: Floats,
) -> bool:
    v = np.full(3, _START_V)
    calcium = np.full(3, _START_CALCIUM)
    start = gate_kinetics(_START_V)[:, 0]
    gates = np.empty((3, _SYNAPSE_GATE))
    gates[:] = start[:_SYNAPSE_GATE]
    gates[:, 8] *= _START_CALCIUM / (_START_CALCIUM + 3.0)
    open_share = np.full(7, start[_SYNAPSE_GATE])
    row = np.empty((3, _COLUMNS))
    for i in range(len(noise)):
        for _ in range(substeps):
            for cell in range(3):
                if not (LOWEST <= v[cell] < HIGHEST):
                    return False
                position = (v[cell] - LOWEST) / _SPACING
                index = min(int(position), len(table) - 2)
                share = position - index
                for column in range(_COLUMNS):
                    low = table[index, column]
                    row[cell, column] = low + share * (table[index + 1, column] - low)
            for cell in range(3):
                row[cell, 8] *= calcium[cell] / (calcium[cell] + 3.0)
                for gate in range(_SYNAPSE_GATE):
                    steady = row[cell, gate]
                    left = row[cell, _GATES + gate]
                    gates[cell, gate] = steady + (gates[cell, gate] - steady) * left
            for synapse in range(7):
                steady = row[_PRE[synapse], _SYNAPSE_GATE]
                left = row[_PRE[synapse], _DECAY_COLUMN[synapse]]
                open_share[synapse] = steady + (open_share[synapse] - steady) * left
            for cell in range(3):
                g, gate_of = membrane[cell], gates[cell]
                sodium = g[0] * gate_of[0] ** 3 * gate_of[1]
                transient = g[1] * gate_of[2] ** 3 * gate_of[3]
                calcic = transient + g[2] * gate_of[4] ** 3 * gate_of[5]
                potassium = g[3] * gate_of[6] ** 3 * gate_of[7] + g[4] * gate_of[8] ** 4
                potassium += g[5] * gate_of[9] ** 4
                mixed = g[6] * gate_of[10]
                change = _calcium_change(calcium[cell], calcic, v[cell])
                calcium[cell] += 0.5 * step * change
                reversal = _NERNST * math.log(_CALCIUM_OUTSIDE / calcium[cell])
                total = sodium + calcic + potassium + mixed + g[7]
                drive = sodium * _E_NA + calcic * reversal + potassium * _E_K + mixed * _E_H
                drive += g[7] * _E_LEAK + NOISE_STD * noise[i, cell]
                for synapse in range(7):
                    if _POST[synapse] == cell:
                        conductance = synaptic[synapse] * open_share[synapse]
                        total += conductance
                        drive += conductance * _REVERSAL[synapse]
                rest = drive / total
                v[cell] = rest + (v[cell] - rest) * math.exp(-step * total)
                change = _calcium_change(calcium[cell], calcic, v[cell])
                calcium[cell] += 0.5 * step * change
        if (i + 1) % every == 0:
            out[(i + 1) // every - 1] = v
    return np.isfinite(v).all()


def voltages(
    theta: Floats, noise: Floats, every: int, table: Floats, substeps: int = 1
) -> Floats | None:
    """Return the voltages in mV of AB/PD, LP and PY, or None if the solution diverges.

    For each cell, with C = 1 uF/cm^2, C dV/dt = sum_i g_i m_i^p_i h_i (E_i - V) + sum of g s
    (E - V) over its synapses + I(t), with eight currents: Na (m^3 h), CaT (m^3 h), CaS (m^3 h),
    A (m^3 h), KCa (m^4), Kd (m^4), H (m) and leak. Reversal potentials in mV: Na 50, K -80, H -20,
    leak -50; of calcium by Nernst at 283 K with 3 mM outside. Calcium inside, in uM, follows
    200 ms d[Ca]/dt = -14.96 I_Ca - [Ca] + 0.05, I_Ca in nA; the steady state of KCa carries the
    factor [Ca] / ([Ca] + 3). A synapse opens toward s = 1 / (1 + exp((-35 - V_pre) / 5)) with
    time constant (1 - s) / k: k = 1/40 per ms and E = -70 mV (glutamate), or 1/100 per ms and
    -80 mV (acetylcholine: PD-LP, PD-PY). I(t) is normal, standard deviation 0.001 uA, drawn for
    every 0.025 ms and constant in between. All cells start at -51 mV and 5 uM, gates in their
    steady states. Source: Prinz, Billimoria and Marder (2003), Prinz, Bucher and Marder (2004);
    noise: Goncalves et al. (2020).

    Solver: gates, at half steps, and voltage with calcium, at whole steps, take turns, each
    solved exactly (calcium: by the trapezoidal rule) with the other held; of second order.

    Args:
        theta: eight conductances of each cell in mS/cm^2, then ln of seven in mS; shape (31,).
        noise: standard normal, shape (steps, 3), one row per 0.025 ms.
        every: rows of noise from one returned voltage to the next; the first is after `every`.
        table: `gate_table(STEP / substeps)`.
        substeps: solver steps per row of noise.

    Returns:
        Shape (steps // every, 3).
    """
    out: Floats = np.empty((len(noise) // every, 3))
    synaptic = np.exp(theta[24:]) / AREA
    step = STEP / substeps
    membrane = np.ascontiguousarray(theta[:24]).reshape(3, 8)
    settled = _integrate(membrane, synaptic, noise, table, step, substeps, every, out)
    return out if settled else None
