import numpy as np
import pytest

from certibayes.tasks.traces import Traces


def make(values):
    times = 0.5 * np.arange(values.shape[-1])
    return Traces(times, values, "time (ms)", ("V (mV)",))


@pytest.mark.parametrize("points", [999, 1_000, 1_003])
def test_thinned_traces_keep_every_peak_in_order(points):
    values = np.random.default_rng(0).standard_normal((3, 1, points))
    thin = make(values).thinned(100)
    assert thin.times.shape == (thin.values.shape[-1],)
    assert len(thin.times) <= 100
    assert (np.diff(thin.times[:-1]) > 0).all()
    np.testing.assert_array_equal(thin.values.max(-1), values.max(-1))
    np.testing.assert_array_equal(thin.values.min(-1), values.min(-1))
    block = values[0, 0, : 20 if points <= 1_000 else 21]
    first, second = sorted((block.argmin(), block.argmax()))
    np.testing.assert_array_equal(thin.values[0, 0, :2], block[[first, second]])


def test_short_traces_stay_as_they_are():
    traces = make(np.zeros((1, 1, 50)))
    assert traces.thinned(50) is traces


def test_a_failed_trace_stays_nan():
    values = np.zeros((2, 1, 1_000))
    values[1] = np.nan
    thin = make(values).thinned(100)
    assert np.isnan(thin.values[1]).all()
    assert not thin.values[0].any()
