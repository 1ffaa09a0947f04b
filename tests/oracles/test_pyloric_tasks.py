"""Both tasks of the three-cell network: published pair, prior, rows, options."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from certibayes.config.simulators.recordings import PyloricSummary as SummarySpec
from certibayes.config.simulators.recordings import PyloricTraces as TracesSpec
from certibayes.config.task_spec import Failures
from certibayes.tasks.pyloric_rhythm import STATISTICS
from certibayes.tasks.pyloric_summary import PyloricSummary, defined
from certibayes.tasks.pyloric_traces import PyloricTraces

CHECK = json.loads(Path(__file__).with_name("pyloric_check_pair.json").read_text(encoding="utf-8"))
CHECK_THETA = torch.tensor([CHECK["theta"]], dtype=torch.float64)
CHECK_X = torch.tensor(CHECK["statistics"], dtype=torch.float64)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def make(name):
    if name == "traces":
        return PyloricTraces(TracesSpec())
    return PyloricSummary(SummarySpec(duration="reduced"))


def assert_pair_within_noise(x):
    """Three standard deviations over seeds; exactly, where no seed varies."""
    assert defined(x).all()
    spread = x.std(0)
    constant = spread < 1e-9
    assert constant.sum() == 2
    torch.testing.assert_close(CHECK_X[constant], x[0, constant])
    distance = (CHECK_X - x.mean(0))[~constant] / spread[~constant]
    assert float(distance.abs().max()) < 3
    assert float(distance.square().mean()) < 3


def test_published_pair_is_reproduced_within_the_noise_of_seeds():
    task = PyloricSummary(SummarySpec())
    assert_pair_within_noise(task.simulate(CHECK_THETA.expand(20, -1), generator(0)))


@pytest.mark.slow
@pytest.mark.parametrize("substeps", [1, 2])
def test_published_pair_is_reproduced_with_many_seeds_and_finer_steps(substeps):
    task = PyloricSummary(SummarySpec(substeps=substeps))
    assert_pair_within_noise(task.simulate(CHECK_THETA.expand(60, -1), generator(1)))


@pytest.mark.slow
def test_finer_steps_do_not_change_the_law_of_the_statistics():
    """Means over 60 seeds at the published step and at a quarter of it."""
    first, second = (
        PyloricSummary(SummarySpec(substeps=n)).simulate(CHECK_THETA.expand(60, -1), generator(n))
        for n in (1, 4)
    )
    error = ((first.var(0) + second.var(0)) / 60).sqrt()
    assert ((first.mean(0) - second.mean(0)).abs() <= 4 * error + 1e-9).all()


def test_the_pair_is_not_reproduced_under_other_parameters():
    """What the check can tell: a fifth less Na in AB/PD and half the leak of LP."""
    theta = CHECK_THETA.clone()
    theta[:, 15] *= 0.5
    theta[:, 0] *= 0.8
    x = PyloricSummary(SummarySpec()).simulate(theta.expand(8, -1), generator(2))
    moved = (CHECK_X - x.mean(0)) / x.std(0).clamp(min=1e-9)
    assert float(moved.abs().max()) > 4


def test_prior_agrees_with_the_data_root(data_root):
    published = np.load(data_root / "neuro" / "pyloric_xo_845_082_0044.npz")
    task = make("traces")
    assert list(task.theta_names) == published["prior_names"].tolist()
    np.testing.assert_allclose(task.prior.box.lower.numpy(), published["prior_lower"], rtol=1e-12)
    np.testing.assert_allclose(task.prior.box.upper.numpy(), published["prior_upper"], rtol=1e-12)
    np.testing.assert_array_equal(CHECK["theta"], published["check_theta"])
    np.testing.assert_array_equal(CHECK["statistics"], published["check_stats"])
    assert task.prior.support.check(CHECK_THETA).all()


@pytest.mark.parametrize("name", ["traces", "summary"])
def test_rows_do_not_depend_on_one_another(name):
    task = make(name)
    theta = task.sample_prior(4, generator(0))
    x = task.simulate(theta, generator(1))
    torch.testing.assert_close(task.simulate(theta[:2], generator(1)), x[:2], rtol=0, atol=0)
    broken = theta.clone()
    broken[1] = torch.nan
    failed = task.simulate(broken, generator(1))
    assert failed[1].isnan().all()
    torch.testing.assert_close(failed[[0, 2, 3]], x[[0, 2, 3]], rtol=0, atol=0)


def test_traces_are_cell_by_cell_and_within_physical_range():
    task = make("traces")
    x = task.simulate(CHECK_THETA.expand(2, -1), generator(3)).view(2, 3, 800)
    assert (x[0] != x[1]).all()
    assert float(x.min()) > -90
    assert float(x.max()) < 60
    bursts_of_lp = (x[:, 1] > 0).sum(1)
    assert (bursts_of_lp > (x[:, 0] > 0).sum(1)).all()


def test_published_selection_fails_networks_that_do_not_spike():
    selective = PyloricTraces(TracesSpec(published_selection=True))
    silent = CHECK_THETA.clone()
    silent[:, 16:24] = torch.tensor([0.0, 0, 0, 30, 0, 50, 0, 0.01], dtype=torch.float64)
    theta = torch.cat((CHECK_THETA.expand(5, -1), silent))
    x = make("traces").simulate(theta, generator(4))
    chosen = selective.simulate(theta, generator(4))
    kept = ((x.view(-1, 3, 800) > 20).sum(2) > 5).all(1)
    assert not kept[-1]
    assert torch.equal(chosen.isnan().all(1), ~kept)
    torch.testing.assert_close(chosen[kept], x[kept], rtol=0, atol=0)


def test_selection_lifts_the_limit_of_failures_unless_one_is_given():
    assert TracesSpec().failures == Failures()
    assert TracesSpec(published_selection=True).failures.at_most == 1.0
    given = TracesSpec.model_validate(
        {"published_selection": True, "failures": {"at_most": 0.99, "policy": "drop"}}
    )
    assert given.failures.at_most == 0.99


def test_undefined_statistics_are_explicit_and_never_nan():
    task = make("summary")
    x = task.simulate(task.sample_prior(12, generator(5)), generator(6))
    assert x.isfinite().all()
    mask = defined(x)
    assert torch.equal(mask, defined(x.float()))
    lowest = torch.tensor([each.undefined for each in STATISTICS], dtype=torch.float64)
    assert (x[mask] > lowest.expand_as(x)[mask]).all()
    assert 0 < float(mask.double().mean()) < 1


def test_observed_rhythm_is_defined_and_named():
    task = make("summary")
    assert task.observed_names() == ("845_082_0044",)
    assert task.observed().shape == (1, 18)
    assert defined(task.observed()).all()


def test_predicted_traces_follow_the_dropped_second():
    task = make("summary")
    found = task.traces(CHECK_THETA.expand(2, -1), 0, generator(7))
    assert found.values.shape == (2, 3, len(found.times)) == (2, 3, 6_000)
    assert found.times[0] == pytest.approx(1_000.5)
    assert found.times[-1] == pytest.approx(4_000.0)


@pytest.mark.slow
def test_share_of_prior_draws_with_a_full_rhythm():
    task = PyloricSummary(SummarySpec())
    x = task.simulate(task.sample_prior(400, generator(8)), generator(9))
    assert 0.035 < float(defined(x).all(1).double().mean()) < 0.11
