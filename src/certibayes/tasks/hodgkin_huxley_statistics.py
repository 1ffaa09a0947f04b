"""Seven statistics of a voltage before and during a current step (Goncalves et al., 2020)."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

SPIKE_ABOVE = -10.0
"""mV."""
APART = 0.5
"""ms between two maxima that count as two spikes."""
NAMES = (
    *("spike_count", "resting_mV", "resting_std_mV"),
    *("mean_mV", "variance_mV2", "skewness", "kurtosis"),
)

Floats = NDArray[np.float64]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _spike_count(v: Floats, first: int, last: int, apart: float) -> int:
    count, previous = 0, -math.inf
    for i in range(first, min(last, len(v) - 3) + 1):
        if v[i] > SPIKE_ABOVE and v[i + 1] >= v[i] and v[i + 2] < v[i + 1]:
            if i - previous > apart:
                count += 1
            previous = float(i)
    return count


def statistics(voltage: Floats, step: float, on: int, off: int) -> Floats:
    """Return spike count, resting mean and std, and four moments during the step, shape (7,).

    A spike is a local maximum above -10 mV in the step; maxima within 0.5 ms of the one before
    belong to the same spike. The resting mean is over all times before the step, the resting std
    over their last tenth. Mean, variance, skewness and kurtosis (3 for a normal variable) are over
    the samples strictly between the step's ends; variance and std divide by the count. No statistic
    is undefined unless the voltage is constant during the step or not finite: then all are NaN.

    Args:
        voltage: mV, shape (points,).
        step: sampling interval, ms.
        on: index of the first sample with current.
        off: index of the last sample with current.
    """
    undefined: Floats = np.full(len(NAMES), np.nan)
    if not np.isfinite(voltage).all():
        return undefined
    inside = voltage[on + 1 : off]
    mean, variance = inside.mean(), inside.var()
    if not variance > 0:
        return undefined
    z = (inside - mean) / math.sqrt(variance)
    squared = z * z
    rest = voltage[:on]
    return np.array(
        (
            _spike_count(voltage, on + 1, off - 1, APART / step),
            rest.mean(),
            voltage[int(0.9 * on) : on].std(),
            mean,
            variance,
            squared @ z / len(z),
            squared @ squared / len(z),
        )
    )
