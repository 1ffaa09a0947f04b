"""Tasks name their real observations, and predict series that lie over the recordings."""

import pytest
import torch
from test_tasks import POSTERIOR, generator, make

OBSERVED = ("lynx_hare", "hodgkin_huxley_allen", "pyloric_summary")


@pytest.mark.parametrize("name", POSTERIOR)
def test_every_real_observation_has_a_name_of_its_own(name):
    task = make(name)
    observed, names = task.observed(), task.observed_names()
    assert len(set(names)) == len(names) == (0 if observed is None else len(observed))


def test_the_tasks_with_real_observations_are_these():
    assert {name for name in POSTERIOR if make(name).observed() is not None} == set(OBSERVED)


@pytest.mark.parametrize("name", OBSERVED)
def test_predicted_series_lie_over_the_recordings(name):
    task = make(name)
    theta = task.sample_prior(2, generator(0))
    last = len(task.observed()) - 1
    traces = task.traces(theta, last, generator(1))
    recordings = task.recordings()
    if traces is None:
        assert recordings is None
        return
    assert traces.values.shape == (2, len(traces.series_labels), len(traces.times))
    assert (traces.values == task.traces(theta, last, generator(1)).values).all()
    assert (traces.values[0] != traces.values[1]).any()
    if recordings is not None:
        assert recordings.values.shape == (last + 1, *traces.values.shape[1:])
        assert (recordings.times == traces.times).all()
        assert recordings.series_labels == traces.series_labels


@pytest.mark.parametrize("name", OBSERVED)
def test_a_theta_that_fails_predicts_nan_and_spares_the_others(name):
    task = make(name)
    theta = task.sample_prior(2, generator(0))
    theta[0] = torch.nan
    traces = task.traces(theta, 0, generator(1))
    if traces is not None:
        failed = torch.from_numpy(traces.values).isnan().flatten(1)
        assert failed[0].any()
        assert not failed[1].any()
