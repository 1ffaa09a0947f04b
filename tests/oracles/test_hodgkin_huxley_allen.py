"""Hodgkin-Huxley with real recordings: statistics, noise, kinetics and what was recorded."""

import math

import numpy as np
import pytest
import torch
from hodgkin_huxley_reference import rates, slow
from scipy import stats

from certibayes.config.tasks import HodgkinHuxleyAllen as HodgkinHuxleyAllenSpec
from certibayes.tasks import hodgkin_huxley_noisy as noisy
from certibayes.tasks.hodgkin_huxley_allen import HodgkinHuxleyAllen
from certibayes.tasks.hodgkin_huxley_statistics import NAMES, statistics

TYPICAL = (50.0, 5.0, 0.1, 0.07, 600.0, 60.0, 0.1, 70.0)
"""The parameters with which Goncalves et al. (2020) illustrate the model."""
FILE = "neuro/allen_hh_recordings.npz"


@pytest.fixture(scope="module")
def task():
    return HodgkinHuxleyAllen(HodgkinHuxleyAllenSpec())


@pytest.fixture(scope="module")
def table():
    return noisy.gate_tables()


def generator(seed):
    return torch.Generator().manual_seed(seed)


def white(samples, seed):
    return torch.randn(samples - 1, generator=generator(seed)).numpy()


def slow_voltage(theta, stimulus, noise):
    """The same scheme in plain Python, with formulas in place of tables."""
    g_na, g_k, g_leak, g_m, tau_max, minus_threshold, sigma, minus_e_leak = theta
    v = stimulus.initial
    m, h, n = (a / (a + b) for a, b in rates(v, -minus_threshold))
    p = slow(v, tau_max)[0]
    path = [v]
    for i, normal in enumerate(noise.tolist()):
        conductances = (g_na * m**3 * h, g_k * n**4, g_m * p, g_leak)
        total = sum(conductances)
        ends = (53, -107, -107, -minus_e_leak)
        drive = sum(g * e for g, e in zip(conductances, ends, strict=True))
        drive += sigma * normal / math.sqrt(0.02)
        if stimulus.on <= i <= stimulus.off:
            drive += stimulus.current
        v = drive / total + (v - drive / total) * math.exp(-0.02 * total)
        moved = []
        for x, (a, b) in zip((m, h, n), rates(v, -minus_threshold), strict=True):
            moved.append(a / (a + b) + (x - a / (a + b)) * math.exp(-0.02 * (a + b)))
        m, h, n = moved
        p_inf, tau = slow(v, tau_max)
        p = p_inf + (p - p_inf) * math.exp(-0.02 / tau)
        path.append(v)
    return np.array(path)


@pytest.mark.parametrize("seed", range(4))
def test_tables_agree_with_the_formulas_step_by_step(task, table, seed):
    """Over 60 ms with spikes, from the same noise."""
    theta = task.sample_prior(1, generator(seed))[0].numpy() if seed else np.array(TYPICAL)
    stimulus = noisy.Stimulus(-70.0, 3.0, 250, 2_749, 3_000)
    noise = white(3_000, seed)
    expected = slow_voltage(theta, stimulus, noise)
    found = noisy.integrate(theta, stimulus, noise, table)
    assert np.abs(found - expected).max() < 0.02 * np.ptp(expected)
    assert np.median(np.abs(found - expected)) < 2e-4 * np.ptp(expected)
    if seed == 0:
        assert found.max() > 20


@pytest.mark.parametrize("g_leak", [0.05, 0.5])
def test_noise_of_a_passive_cell_is_an_ornstein_uhlenbeck_process(table, g_leak):
    """Stationary variance sigma^2 / (2 g_leak C), correlation exp(-g_leak t / C)."""
    theta = np.array([0, 0, g_leak, 0, 600, 60, 0.1, 70.0])
    samples = 2_000_000
    stimulus = noisy.Stimulus(-70.0, 0.0, 0, 0, samples)
    v = noisy.integrate(theta, stimulus, white(samples, 1), table) + 70
    variance, lag = 0.01 / (2 * g_leak), round(1 / g_leak / noisy.STEP)
    independent = samples * noisy.STEP * g_leak / 2
    assert abs(v.mean()) < 5 * math.sqrt(variance / independent)
    assert v.var() == pytest.approx(variance, rel=5 * math.sqrt(2 / independent))
    correlation = (v[lag:] * v[:-lag]).mean() / v.var()
    assert abs(correlation - math.exp(-1)) < 5 / math.sqrt(independent)


@pytest.mark.parametrize("step", [0.01, 0.02, 0.04])
def test_effect_of_the_noise_does_not_depend_on_the_step(step):
    """The stationary variance of a passive cell, sigma^2 / (2 g_leak C), at every step."""
    theta = np.array([0, 0, 0.2, 0, 600, 60, 0.1, 70.0])
    samples = round(20_000 / step)
    stimulus = noisy.Stimulus(-70.0, 0.0, 0, 0, samples)
    voltage = noisy.integrate(theta, stimulus, white(samples, 2), noisy.gate_tables(step), step)
    independent = 20_000 * 0.2 / 2
    assert (voltage + 70).var() == pytest.approx(0.025, rel=5 * math.sqrt(2 / independent))


def test_a_current_into_a_passive_cell_raises_it_by_ohms_law(table):
    theta = np.array([0, 0, 0.2, 0, 600, 60, 1e-4, 70.0])
    stimulus = noisy.Stimulus(-70.0, 1.3, 1_000, 10_999, 12_000)
    v = noisy.integrate(theta, stimulus, white(12_000, 3), table)
    assert v[1_000] == pytest.approx(-70, abs=0.01)
    assert v[1_001] == pytest.approx(-70 + 1.3 * 0.02, abs=2e-3)
    assert v[11_000] == pytest.approx(-70 + 1.3 / 0.2, abs=0.01)
    assert v[11_001] < v[11_000] - 0.02


def test_statistics_of_a_synthetic_trace_agree_with_scipy():
    """One spike before the step, three in it, of which the last has two maxima 0.2 ms apart."""
    on, off = 1_000, 8_999
    time = np.arange(10_000)
    v = -70 + np.sin(time / 300) + 0.3 * np.cos(time / 7)
    for center in (500, 2_000, 4_000, 6_000):
        v += 100 * np.exp(-0.5 * ((time - center) / 20) ** 2)
    v[5_995] -= 3
    found = statistics(v, 0.02, on, off)
    inside = v[on + 1 : off]
    third, fourth = stats.skew(inside), stats.kurtosis(inside, fisher=False)
    expected = [3, v[:on].mean(), v[900:on].std(), inside.mean(), inside.var(), third, fourth]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_maxima_apart_by_more_than_half_a_millisecond_are_two_spikes():
    for gap, count in ((20, 1), (40, 2)):
        v = np.full(2_000, -60.0)
        v[::2] += 0.1
        for center in (1_000, 1_000 + gap):
            v[center - 2 : center + 3] = (0, 10, 20, 10, 0)
        assert statistics(v, 0.02, 100, 1_900)[0] == count


@pytest.mark.parametrize("bad", [math.nan, math.inf, -60.0])
def test_statistics_of_a_broken_or_constant_trace_are_nan(bad):
    v = np.full(2_000, -60.0)
    v[500] = bad
    assert np.isnan(statistics(v, 0.02, 100, 1_900)).all()


def test_resting_statistics_follow_the_theory(task):
    """A quiet cell with a strong leak: mean near E_leak, std near sqrt(s^2 / (2 g_leak))."""
    theta = torch.tensor([[0.5, 1e-4, 0.6, 1e-4, 50, 40, 0.1, 80.0]], dtype=torch.float64)
    x = task.simulate(theta.expand(20, -1), generator(5))
    assert (x[:, 0] == 0).all()
    assert float(x[:, 1].mean()) == pytest.approx(-80, abs=0.3)
    assert float(x[:, 2].mean()) == pytest.approx(0.1 / math.sqrt(1.2), rel=0.15)


def test_rows_of_one_call_do_not_depend_on_the_parameters_of_others(task):
    theta = task.sample_prior(4, generator(6))
    x = task.simulate(theta, generator(7))
    prefix = task.simulate(theta[:2], generator(7))
    assert torch.equal(x[:2], prefix)
    theta[1] = math.nan
    again = task.simulate(theta, generator(7))
    assert again[1].isnan().all()
    assert torch.equal(again[[0, 2, 3]], x[[0, 2, 3]])


def test_every_simulation_draws_the_step_of_one_cell(task):
    """The voltage at the start shows in the resting mean of a cell that hardly leaks."""
    theta = torch.tensor([[0.5, 1e-4, 1e-4, 1e-4, 50, 40, 1e-4, 80.0]], dtype=torch.float64)
    x = task.simulate(theta.expand(60, -1), generator(8))
    starts = torch.tensor([one.initial_mV for one in task._recordings], dtype=torch.float64)
    nearest = (x[:, 1:2] - starts).abs().argmin(1)
    assert len(nearest.unique()) >= 8


def test_one_cell_alone_is_observed_and_simulated():
    task = HodgkinHuxleyAllen(HodgkinHuxleyAllenSpec(cell=532571720))
    assert task.observed_names() == ("cell 532571720",)
    assert task.observed().shape == (1, 7)
    assert float(task.observed()[0, 0]) == 18
    theta = torch.tensor([[0.5, 1e-4, 1e-4, 1e-4, 50, 40, 1e-4, 80.0]], dtype=torch.float64)
    x = task.simulate(theta.expand(5, -1), generator(9))
    assert (x[:, 1] + 90.06).abs().max() < 1


def test_observed_recordings_are_named_by_cell(task):
    assert task.observed().shape == (10, 7)
    assert len(set(task.observed_names())) == 10
    assert task.observed_names()[0] == "cell 518290966"
    assert NAMES[0] == "spike_count"


def test_traces_are_simulated_under_the_conditions_of_one_recording(task):
    theta = task.sample_prior(2, generator(10))
    traces = task.traces(theta, 4, generator(11))
    assert traces.values.shape == (2, 1, 72_500)
    assert (traces.values[:, 0, 0] == task._recordings[4].initial_mV).all()
    assert traces.times[-1] == pytest.approx(1449.98)


def test_without_a_data_root_there_are_no_recordings(task, monkeypatch, tmp_path):
    monkeypatch.delenv("CERTIBAYES_DATA", raising=False)
    assert task.recordings() is None
    monkeypatch.setenv("CERTIBAYES_DATA", str(tmp_path))
    assert task.recordings() is None


def test_statistics_of_the_recorded_voltages_are_the_observed_ones(task, data_root):
    """Within the float32 resolution of the file; one cell's step ends a sample later."""
    found = np.stack([statistics(v, 0.02, 10_250, 60_249) for v in task.recordings().values[:, 0]])
    np.testing.assert_allclose(found, task.observed(), rtol=2e-5)
    assert (found[:, 0] == task.observed()[:, 0].numpy()).all()


def test_the_excerpt_agrees_with_the_data_file(task, data_root):
    with np.load(data_root / FILE) as file:
        np.testing.assert_allclose(task.observed(), file["summary_statistics"], rtol=1e-10)
        assert [one.cell for one in task._recordings] == file["cell_id"].tolist()
        assert [one.sweep for one in task._recordings] == file["sweep_number"].tolist()
        assert task.theta_names == tuple(file["prior_names"])
        np.testing.assert_array_equal(task.prior.box.lower, file["prior_lower"])
        np.testing.assert_array_equal(task.prior.box.upper, file["prior_upper"])
        for one, current, area in zip(
            task._recordings, file["current_uA"], file["soma_area_cm2"], strict=True
        ):
            assert np.flatnonzero(current)[[0, -1]].tolist() == [10_250, 60_249]
            step = current[10_250:60_250].astype(np.float64) / area
            np.testing.assert_allclose(step, one.current_uA_per_cm2, rtol=1e-6)
        start = file["voltage_mV"][:, 0] + file["junction_potential_mV"]
        np.testing.assert_allclose([one.initial_mV for one in task._recordings], start, atol=1e-4)
