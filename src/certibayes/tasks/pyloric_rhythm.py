"""Eighteen statistics of a three-cell rhythm, from the spikes of its cells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SPIKE = -10.0
"""mV; a spike is an upward crossing."""
LONGEST_INTERVAL = 150.0
"""ms between two spikes of one burst."""
SHORTEST_BURST = 40.0
"""ms from first to last spike."""
PLATEAU = -30.0
"""mV."""
SHORTEST_PLATEAU = 5.0
"""ms above -30 mV; a single spike stays above it for less."""
NO_PLATEAU = 2.5
"""ms; what a burst without a plateau counts, as in the published data."""

Floats = NDArray[np.float64]


class Statistic(NamedTuple):
    """One entry of x.

    Attributes:
        name: in the order of the published package.
        unit: "ms", or "1" for a share of the cycle period.
        undefined: value that stands for "undefined", below what rhythms with cycles up to 2 s give.
    """

    name: str
    unit: str
    undefined: float


STATISTICS = (
    Statistic("cycle_period", "ms", -1000.0),
    Statistic("burst_duration_AB/PD", "ms", -1000.0),
    Statistic("burst_duration_LP", "ms", -1000.0),
    Statistic("burst_duration_PY", "ms", -1000.0),
    Statistic("duty_cycle_AB/PD", "1", -1.0),
    Statistic("duty_cycle_LP", "1", -1.0),
    Statistic("duty_cycle_PY", "1", -1.0),
    Statistic("start_phase_LP", "1", -1.0),
    Statistic("start_phase_PY", "1", -1.0),
    Statistic("start_to_start_AB/PD-LP", "ms", -1000.0),
    Statistic("start_to_start_LP-PY", "ms", -2000.0),
    Statistic("end_to_start_AB/PD-LP", "ms", -2000.0),
    Statistic("end_to_start_LP-PY", "ms", -2000.0),
    Statistic("phase_gap_AB/PD-LP", "1", -2.0),
    Statistic("phase_gap_LP-PY", "1", -2.0),
    Statistic("plateau_duration_AB/PD", "ms", -50.0),
    Statistic("plateau_duration_LP", "ms", -50.0),
    Statistic("plateau_duration_PY", "ms", -50.0),
)


def bursts(voltage: Floats, interval: float) -> Floats:
    """Return start and end of every burst in ms, shape (bursts, 2): its first and last spike.

    Args:
        voltage: of one cell in mV, shape (samples,).
        interval: ms between samples.
    """
    above = voltage > SPIKE
    spikes = interval * (np.flatnonzero(above[1:] & ~above[:-1]) + 1)
    if len(spikes) == 0:
        return np.empty((0, 2))
    last = np.flatnonzero(np.diff(spikes) > LONGEST_INTERVAL)
    found = np.stack((spikes[np.append(0, last + 1)], spikes[np.append(last, -1)]), 1)
    return found[found[:, 1] - found[:, 0] > SHORTEST_BURST]


def plateau_duration(voltage: Floats, interval: float, of_bursts: Floats) -> float:
    """Return the mean over bursts of the longest time above -30 mV, in ms; NaN without bursts.

    A burst whose longest such time is at most 5 ms counts 2.5 ms.

    Args:
        voltage: of one cell in mV, shape (samples,).
        interval: ms between samples.
        of_bursts: starts and ends, shape (bursts, 2).
    """
    if len(of_bursts) == 0:
        return np.nan
    above = np.concatenate(([False], voltage > PLATEAU, [False]))
    edges = interval * np.flatnonzero(above[1:] != above[:-1]).reshape(-1, 2)
    first = np.searchsorted(edges[:, 1], of_bursts[:, 0], "right")
    behind = np.searchsorted(edges[:, 0], of_bursts[:, 1], "right")
    lengths = edges[:, 1] - edges[:, 0]
    longest = np.array([lengths[i:j].max() for i, j in zip(first, behind, strict=True)])
    return float(np.where(longest > SHORTEST_PLATEAU, longest, NO_PLATEAU).mean())


def followers(pacemaker: Floats, cell: Floats) -> Floats:
    """Return the first burst of a cell that starts in each cycle, shape (cycles, 2).

    A cycle runs from one start of a pacemaker's burst to the next. NaN where no burst starts, and
    where it lasts longer than the cycle: tonic firing has no phase.
    """
    cycles = pacemaker[:, 0]
    out = np.full((max(len(cycles) - 1, 0), 2), np.nan)
    first = np.searchsorted(cell[:, 0], cycles)
    for i in range(len(out)):
        if first[i] < first[i + 1]:
            burst = cell[first[i]]
            if burst[1] - burst[0] <= cycles[i + 1] - cycles[i]:
                out[i] = burst
    return out


def statistics(voltages: Floats, interval: float) -> Floats:
    """Return the statistics of a rhythm in the order of `STATISTICS`, shape (18,).

    The period is the mean cycle of AB/PD, from one burst's start to the next; burst durations are
    means over all bursts of a cell. Starts and gaps are means over the cycles in which the cells
    concerned burst; duty cycles, phases and phase gaps are durations, starts and gaps over the
    period. What a rhythm lacks is undefined and has the value that `STATISTICS` states.

    Args:
        voltages: of AB/PD, LP and PY in mV, shape (samples, 3).
        interval: ms between samples.
    """
    trains = [bursts(voltages[:, cell], interval) for cell in range(3)]
    pacemaker, cycles = trains[0], trains[0][:-1]
    period = _mean(np.diff(pacemaker[:, 0]))
    durations = np.array([_mean(train[:, 1] - train[:, 0]) for train in trains])
    lateral, pyloric = (followers(pacemaker, train) for train in trains[1:])
    to_lateral = _mean(lateral[:, 0] - cycles[:, 0])
    to_pyloric = _mean(pyloric[:, 0] - cycles[:, 0])
    between = _mean(pyloric[:, 0] - lateral[:, 0])
    gaps = np.array([_mean(lateral[:, 0] - cycles[:, 1]), _mean(pyloric[:, 0] - lateral[:, 1])])
    plateaus = [
        plateau_duration(voltages[:, cell], interval, train) for cell, train in enumerate(trains)
    ]
    values = np.array(
        [
            *(period, *durations, *(durations / period)),
            *(to_lateral / period, to_pyloric / period, to_lateral, between),
            *(*gaps, *(gaps / period), *plateaus),
        ]
    )
    return np.where(np.isnan(values), [each.undefined for each in STATISTICS], values)


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan
