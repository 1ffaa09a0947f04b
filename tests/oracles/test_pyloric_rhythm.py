"""Statistics of synthetic rhythms with known answers."""

import json
from importlib.resources import files

import numpy as np
import pytest

from certibayes.tasks.pyloric_rhythm import STATISTICS, bursts, followers, statistics

INTERVAL = 0.1
INDEX = {each.name: i for i, each in enumerate(STATISTICS)}


def voltage(spikes, plateaus=(), duration=6000.0):
    """Rest at -60 mV; spikes of 2 ms at 30 mV; plateaus (start, length) at -20 mV."""
    v = np.full(round(duration / INTERVAL), -60.0)
    for start, length in plateaus:
        v[round(start / INTERVAL) : round((start + length) / INTERVAL)] = -20.0
    for time in spikes:
        v[round(time / INTERVAL) : round((time + 2) / INTERVAL)] = 30.0
    return v


def train(starts, duration, spikes=5):
    return [start + duration * i / (spikes - 1) for start in starts for i in range(spikes)]


def rhythm(lateral=300.0, pyloric=600.0):
    starts = np.arange(100.0, 5_500.0, 1_000.0)
    cells = [
        voltage(train(starts, 200)),
        voltage(train(starts + lateral, 150)),
        voltage(train(starts + pyloric, 250)),
    ]
    return np.stack(cells, 1)


def named(x):
    return {name: x[i] for name, i in INDEX.items()}


def test_a_regular_rhythm_has_its_statistics():
    found = named(statistics(rhythm(), INTERVAL))
    expected = {
        **{"cycle_period": 1000, "burst_duration_AB/PD": 200, "burst_duration_LP": 150},
        **{"burst_duration_PY": 250, "duty_cycle_AB/PD": 0.2, "duty_cycle_LP": 0.15},
        **{"duty_cycle_PY": 0.25, "start_phase_LP": 0.3, "start_phase_PY": 0.6},
        **{"start_to_start_AB/PD-LP": 300, "start_to_start_LP-PY": 300},
        **{"end_to_start_AB/PD-LP": 100, "end_to_start_LP-PY": 150},
        **{"phase_gap_AB/PD-LP": 0.1, "phase_gap_LP-PY": 0.15},
        **{f"plateau_duration_{cell}": 2.5 for cell in ("AB/PD", "LP", "PY")},
    }
    assert found == pytest.approx(expected)


def test_overlapping_bursts_have_negative_gaps():
    found = named(statistics(rhythm(lateral=150.0, pyloric=200.0), INTERVAL))
    assert found["end_to_start_AB/PD-LP"] == pytest.approx(-50)
    assert found["end_to_start_LP-PY"] == pytest.approx(-100)
    assert found["phase_gap_LP-PY"] == pytest.approx(-0.1)


def undefined_of(x):
    return {each.name for each, value in zip(STATISTICS, x, strict=True) if value == each.undefined}


def test_a_silent_network_has_no_defined_statistic():
    x = statistics(np.full((60_000, 3), -60.0), INTERVAL)
    assert undefined_of(x) == set(INDEX)


@pytest.mark.parametrize(("cell", "name"), [(1, "LP"), (2, "PY")])
def test_a_silent_follower_leaves_undefined_what_concerns_it(cell, name):
    voltages = rhythm()
    voltages[:, cell] = -60.0
    x = statistics(voltages, INTERVAL)
    assert undefined_of(x) == {each for each in INDEX if name in each}


def test_a_silent_pacemaker_leaves_durations_alone():
    voltages = rhythm()
    voltages[:, 0] = -60.0
    kept = {f"{kind}_duration_{cell}" for kind in ("burst", "plateau") for cell in ("LP", "PY")}
    assert undefined_of(statistics(voltages, INTERVAL)) == set(INDEX) - kept


def test_tonic_firing_is_one_burst_without_phase():
    voltages = rhythm()
    voltages[:, 1] = voltage(np.arange(50.0, 5_900.0, 50.0))
    found = statistics(voltages, INTERVAL)
    assert found[INDEX["burst_duration_LP"]] == pytest.approx(5_800)
    phases = {"start_phase_LP", "start_to_start_AB/PD-LP", "start_to_start_LP-PY"}
    gaps = {"end_to_start_AB/PD-LP", "end_to_start_LP-PY", "phase_gap_AB/PD-LP", "phase_gap_LP-PY"}
    assert undefined_of(found) == phases | gaps


def test_bursts_need_40_ms_and_end_after_150_ms_without_spikes():
    spikes = [100, 139, 500, 541, 1000, 1149, 1298, 2000, 2049, 2200.5, 2250]
    found = bursts(voltage(spikes), INTERVAL)
    np.testing.assert_allclose(found, [[500, 541], [1000, 1298], [2000, 2049], [2200.5, 2250]])


def test_one_cycle_without_a_follower_does_not_count():
    pacemaker = np.array([[0.0, 50], [1000, 1050], [2000, 2050], [3000, 3050]])
    cell = np.array([[400.0, 450], [700, 760], [2500, 3400], [2990, 2995]])
    found = followers(pacemaker, cell)
    np.testing.assert_allclose(found, [[400, 450], [np.nan] * 2, [2500, 3400]])
    long = followers(pacemaker, np.array([[400.0, 1500]]))
    assert np.isnan(long).all()


def test_plateaus_are_averaged_over_bursts():
    """One of six bursts has a plateau of 65 ms, the others count 2.5 ms."""
    voltages = rhythm()
    starts = np.arange(100.0, 5_500.0, 1_000.0) + 300
    voltages[:, 1] = voltage(train(starts, 150), [(starts[2] + 40, 65.0)])
    x = statistics(voltages, INTERVAL)
    assert x[INDEX["plateau_duration_LP"]] == pytest.approx((5 * 2.5 + 65) / 6)
    assert x[INDEX["plateau_duration_PY"]] == 2.5


def test_observed_statistics_have_these_names_and_units():
    source = files("certibayes").joinpath("tasks", "pyloric_summary.json")
    stored = json.loads(source.read_text(encoding="utf-8"))
    assert stored["names"] == [each.name for each in STATISTICS]
    assert stored["units"] == [each.unit for each in STATISTICS]
    assert undefined_of(stored["statistics"]) == set()


def test_copies_agree_with_the_data_root(data_root):
    published = np.load(data_root / "neuro" / "pyloric_xo_845_082_0044.npz")
    source = files("certibayes").joinpath("tasks", "pyloric_summary.json")
    stored = json.loads(source.read_text(encoding="utf-8"))
    np.testing.assert_array_equal(stored["statistics"], published["xo_pyloric"])
    assert stored["names"] == published["xo_pyloric_names"].tolist()
