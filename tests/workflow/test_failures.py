"""Simulations that fail, from the stages to the report's table."""

import logging

import numpy as np
import pytest
from in_process import load_study

from certibayes import registry
from certibayes.address import Session
from certibayes.cli import main as certibayes
from certibayes.commands import stage as stage_command
from certibayes.config import ConfigError
from certibayes.config.jobs import gather_jobs, model_jobs, simulate_job
from certibayes.config.tracking import Tracking
from certibayes.datasets.files import ChecksumError, MissingFileError
from certibayes.io import FileFormatError, load_arrays, read_json
from certibayes.journal import SUFFIX, read
from certibayes.report.simulations import read_simulations, render_simulations
from certibayes.simulation.error import SimulationError
from certibayes.stages import drawing, gather, simulate
from certibayes.stages.observations import load_observations
from certibayes.tasks.two_moons import TwoMoons
from certibayes.tracking import calls
from certibayes.workflow.plan import TRACKING_VARIABLE

ROWS = 2_000
STUDY = {
    "study": "tiny",
    "models": {"maf": {"estimator": {"kind": "maf"}}},
    "evaluation": {"observations": 5},
    "tracking": {"mode": "off"},
    "experiments": [{"task": "two_moons", "budget": 2 * ROWS, "model": "maf"}],
}


class HalfMoons(TwoMoons):
    """Fails where the first parameter is large: NaN or, for one in two of these, infinity."""

    threshold = 0.9

    def simulate(self, theta, generator):
        x = super().simulate(theta, generator)
        failed = theta[:, 0] > self.threshold
        x[failed, 0] = np.nan
        x[failed & (theta[:, 1] > 0)] = np.inf
        return x


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Return a function that loads the study with a failure policy."""
    monkeypatch.setitem(registry.REGISTRY["task"], "two_moons", f"{__name__}:HalfMoons")
    from certibayes.config.simulators.sbibm import TwoMoons as Spec

    monkeypatch.setattr(Spec, "SHARD_SIZE", ROWS)

    def load(**failures):
        tasks = {"two_moons": {"kind": "two_moons", "test_pairs": 200, "failures": failures}}
        return load_study(tmp_path, STUDY | {"tasks": tasks})

    return load


def run(study, layout):
    (job,) = gather_jobs(study)
    for shard in reversed(range(job.shards)):
        simulate.run(simulate_job(study, job.task, shard), layout, "code")
    gather.run(job, layout, "code")
    return job


def test_dropped_rows_are_marked_counted_and_reported(study):
    values, layout = study()
    job = run(values, layout)
    assert job.shards == 2
    total = 0
    for shard in range(2):
        folder = layout.shard(job, shard)
        target, x, valid = (np.load(folder / f"{n}.npy") for n in ("target", "x", "valid"))
        assert target.dtype == x.dtype == np.float32
        assert target.flags.c_contiguous
        assert x.flags.c_contiguous
        np.testing.assert_array_equal(valid, target[:, 0] <= np.float32(0.9))
        assert np.isnan(x[~valid]).all()
        counts = read_json(folder / "failures.json")
        assert counts["failed"] == (~valid).sum() > 20
        infinite = (target[~valid, 1] > 0).sum()
        assert counts["by_reason"]["infinite"] == infinite
        assert counts["by_reason"]["nan"] == counts["failed"] - infinite
        assert [list(one["theta"]) for one in counts["examples"]] == 3 * [["theta_1", "theta_2"]]
        summary = read_json(folder / "run.json")["summary"]
        assert summary["simulate/failed"] == counts["failed"]
        assert summary["simulate/failed_infinite"] == infinite
        total += counts["failed"]

    folder = layout.reference(job)
    summary = read_json(folder / "run.json")["summary"]
    assert (summary["simulate/rows"], summary["simulate/failed"]) == (2 * ROWS, total)
    assert summary["simulate/failed_time_limit"] == 0
    pairs = load_arrays(folder / "test.npz")
    assert pairs["x"].dtype == np.float64
    failed_tests = summary["simulate/test_failed"]
    assert len(pairs["x"]) == summary["simulate/test_pairs"] == 200
    assert failed_tests > 0
    assert len(np.unique(pairs["target"][:, 0])) == 200
    assert np.isfinite(pairs["x"]).all()
    table = read_simulations([folder / "failures.json"])
    assert table["rows"].tolist()[::2] == [2 * ROWS, ROWS]
    assert 200 + failed_tests <= table["rows"][1] < 260
    assert table["failed"][1] == failed_tests
    assert read_json(folder / "scale.json")["draws"] == ROWS
    (journal,) = (
        record
        for path in layout.state.glob(f"*/*{SUFFIX}")
        for record in [read(path)]
        if record.header["tracked"]
    )
    history = {p.step: p.value for p in journal.points if p.name == "simulate/failed_per_shard"}
    assert sorted(history) == [0, 1]
    assert sum(history.values()) == total
    assert table["failed"][0] == total
    rendered = render_simulations(table)
    assert f"two_moons, training: {total} of {2 * ROWS} simulations failed (" in rendered


def test_shards_depend_on_their_index_alone(study):
    values, layout = study()
    job = run(values, layout)
    first, second = (np.load(layout.shard(job, shard) / "x.npy") for shard in range(2))
    assert not np.array_equal(first, second, equal_nan=True)
    (layout.shard(job, 1) / "x.npy").unlink()
    simulate.run(simulate_job(values, job.task, 1), layout, "code")
    again = np.load(layout.shard(job, 1) / "x.npy")
    np.testing.assert_array_equal(again, second)


def test_imputed_rows_are_kept_with_the_stated_value(study):
    values, layout = study(policy="impute", fill=3.0)
    job = run(values, layout)
    folder = layout.shard(job, 0)
    target, x, valid = (np.load(folder / f"{n}.npy") for n in ("target", "x", "valid"))
    failed = target[:, 0] > 0.9
    assert valid.all()
    assert (x[failed, 0] == 3).all()
    assert read_json(folder / "failures.json")["failed"] == failed.sum()
    assert len(load_arrays(layout.reference(job) / "test.npz")["x"]) == 200


@pytest.mark.parametrize(
    ("failures", "threshold", "limit", "examples"),
    [
        ({"at_most": 0.001}, 0.9, "2 of 2000 (tasks.two_moons.failures.at_most = 0.001)", 3),
        ({}, -1.0, "200 of 2000 (tasks.two_moons.failures.at_most = 0.1)", 3),
        ({"policy": "error"}, 0.9, "none (tasks.two_moons.failures.policy = error)", 3),
    ],
)
def test_too_many_failures_end_the_job_with_their_thetas_and_leave_nothing(
    study, monkeypatch, caplog, failures, threshold, limit, examples
):
    monkeypatch.setattr(HalfMoons, "threshold", threshold)
    values, layout = study(**failures)
    job = simulate_job(values, "two_moons", 0)
    monkeypatch.chdir(layout.root.parent.parent)
    monkeypatch.setenv(TRACKING_VARIABLE, values.tracking.model_dump_json())
    monkeypatch.setattr(stage_command, "die_with_parent", lambda: None)
    monkeypatch.setattr(stage_command, "configure_logging", lambda path: None)
    text = job.model_dump_json(exclude={"tracking"})
    arguments = ["simulate", "--job", text, "--code", "code", "--log", "simulate.log"]
    with caplog.at_level(logging.ERROR, "certibayes"):
        assert certibayes(arguments) == 1
    (record,) = caplog.records
    first, allowed, *thetas = record.getMessage().splitlines()
    assert first.startswith("shard 0 of two_moons: ")
    assert " of 2000 simulations failed (" in first
    assert allowed == f"allowed to fail: {limit}"
    assert len(thetas) == examples
    assert all("theta_1 = " in line and "theta_2 = " in line for line in thetas)
    assert record.exc_info is None
    assert list(layout.shard(job, 0).iterdir()) == []
    (journal,) = layout.state.glob(f"*/*{SUFFIX}")
    stored = read(journal)
    assert stored.status == "FAILED"
    assert "allowed to fail" in stored.tags["error"]
    assert stored.header["tracked"]
    values = {point.name: point.value for point in stored.points}
    assert values["simulate/failed"] >= 1
    assert values["simulate/failed"] == sum(v for n, v in values.items() if "failed_" in n)


MODEL = """
import torch
from torch.distributions import Independent, Uniform

prior = Independent(Uniform(torch.zeros(2), torch.ones(2)), 1)


def simulate(theta):
    if (theta[:, 0] > 0.98).any():
        raise ArithmeticError("the solver gave up")
    return theta + 0.1 * torch.randn(len(theta), 2)
"""


def test_exceptions_of_a_users_own_simulator_are_counted_row_by_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_model.py").write_text(MODEL)
    task = {"file": "my_model.py", "rows_per_shard": 300, "test_pairs": 50}
    experiment = {"task": "mine", "budget": 300, "model": "maf"}
    values = STUDY | {"tasks": {"mine": task}, "experiments": [experiment]}
    study, layout = load_study(tmp_path, values)
    job = run(study, layout)
    counts = read_json(layout.reference(job) / "failures.json")
    assert counts["policy"]["time_limit"] == 60
    assert counts["units"]["rows"] == 300
    assert 0 < counts["units"]["by_reason"]["exception"] == counts["units"]["failed"] < 30
    for example in counts["units"]["examples"]:
        assert example["theta"]["theta_1"] > 0.98
        assert example["detail"] == "ArithmeticError: the solver gave up"
    target, valid = (np.load(layout.shard(job, 0) / f"{n}.npy") for n in ("target", "valid"))
    np.testing.assert_array_equal(valid, target[:, 0] <= 0.98)


def test_stored_pairs_that_failed_are_counted_and_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs").mkdir()
    theta = np.random.default_rng(0).normal(size=(500, 2))
    x = np.concatenate((theta, theta**2), 1)
    x[3, 1], x[5, 0], x[450] = np.nan, np.inf, np.nan
    np.save("pairs/theta.npy", theta)
    np.save("pairs/x.npy", x)
    task = {"folder": "pairs", "test_pairs": 100}
    experiment = {"task": "mine", "budget": 400, "model": "maf"}
    values = STUDY | {"tasks": {"mine": task}, "experiments": [experiment]}
    study, layout = load_study(tmp_path, values)
    job = run(study, layout)
    counts = read_json(layout.reference(job) / "failures.json")
    examples = [(one["row"], one["reason"]) for one in counts["training"]["examples"]]
    assert examples == [(3, "nan"), (5, "infinite")]
    assert (counts["training"]["rows"], counts["training"]["failed"]) == (400, 2)
    assert counts["test"]["failed"] == 1
    assert np.flatnonzero(~np.load(layout.shard(job, 0) / "valid.npy")).tolist() == [3, 5]
    pairs = load_arrays(layout.reference(job) / "test.npz")
    np.testing.assert_array_equal(pairs["target"], np.delete(theta[400:], 50, axis=0))
    expected = np.delete(x[:400], [3, 5], axis=0).std(0, ddof=1)
    scale = read_json(layout.reference(job) / "scale.json")["feature_std"]
    np.testing.assert_allclose(scale, expected, rtol=1e-12)


def test_observations_beyond_the_valid_stored_pairs_are_refused_with_both_keys(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs").mkdir()
    x = np.random.default_rng(0).normal(size=(200, 2))
    x[195] = np.nan
    np.save("pairs/theta.npy", np.nan_to_num(x))
    np.save("pairs/x.npy", x)
    task = {"folder": "pairs", "test_pairs": 20}
    experiment = {"task": "mine", "budget": 100, "model": "maf"}
    values = STUDY | {"tasks": {"mine": task}, "experiments": [experiment]}
    values["evaluation"] = {"observations": 20}
    study, layout = load_study(tmp_path, values)
    with caplog.at_level(logging.WARNING, "certibayes"):
        run(study, layout)
    (record,) = caplog.records
    assert record.getMessage() == (
        "tasks.mine.test_pairs: got 20, of which 19 are valid; "
        "evaluation.observations is allowed up to 19"
    )
    with pytest.raises(ConfigError, match=r"evaluation.observations: got 20.*tasks.mine.test_pa"):
        load_observations(layout, model_jobs(study)[0], 20)


def test_test_pairs_are_drawn_until_enough_are_valid_whatever_the_share(study, monkeypatch):
    monkeypatch.setattr(HalfMoons, "threshold", -0.8)
    values, layout = study(at_most=1.0)
    job = run(values, layout)
    pairs = load_arrays(layout.reference(job) / "test.npz")
    assert pairs["x"].shape == (200, 2)
    assert (pairs["target"][:, 0] <= -0.8).all()
    counts = read_json(layout.reference(job) / "failures.json")["test"]
    assert counts["rows"] - counts["failed"] >= 200
    assert counts["failed"] == sum(counts["by_reason"].values())
    again = pairs["x"]
    gather.run(job, layout, "other code")
    np.testing.assert_array_equal(load_arrays(layout.reference(job) / "test.npz")["x"], again)


def test_test_pairs_that_never_succeed_end_the_job(study, monkeypatch):
    monkeypatch.setattr(HalfMoons, "threshold", -2.0)
    monkeypatch.setattr(drawing, "MOST_DRAWS", 3)
    values, layout = study(at_most=1.0)
    with pytest.raises(SimulationError, match=r"200 are missing; allowed: tasks.two_moons.test_p"):
        run(values, layout)


def test_a_task_that_stops_leaves_a_failed_run_with_its_counts(study, monkeypatch, tmp_path):
    monkeypatch.setattr(HalfMoons, "threshold", 0.0)
    values, layout = study()
    job = simulate_job(values, "two_moons", 0)
    with pytest.raises(SimulationError):
        simulate.run(job.model_copy(update={"tracking": Tracking()}), layout, "code")
    session = Session.read(layout)
    with calls(f"sqlite:///{tmp_path / 'mlflow.db'}") as client:
        (experiment,) = (e for e in client.search_experiments() if e.name == "tiny")
        found = client.search_runs([experiment.experiment_id], "tags.stage = 'simulate'")
    assert session is not None
    (one,) = found
    assert one.info.status == "FAILED"
    assert one.data.metrics["simulate/failed"] > 200
    assert "allowed to fail: 200 of 2000" in one.data.tags["error"]


@pytest.mark.parametrize(
    "error", [MissingFileError, ChecksumError, FileFormatError, NotADirectoryError]
)
def test_faults_of_a_data_set_end_the_job_without_a_traceback(study, monkeypatch, caplog, error):
    def fail(*arguments, **keywords):
        raise error("mnist: no such file")

    values, layout = study()
    job = simulate_job(values, "two_moons", 0)
    monkeypatch.chdir(layout.root.parent.parent)
    monkeypatch.setattr(simulate, "run", fail)
    monkeypatch.setenv(TRACKING_VARIABLE, values.tracking.model_dump_json())
    monkeypatch.setattr(stage_command, "die_with_parent", lambda: None)
    monkeypatch.setattr(stage_command, "configure_logging", lambda path: None)
    text = job.model_dump_json(exclude={"tracking"})
    arguments = ["simulate", "--job", text, "--code", "code", "--log", "simulate.log"]
    with caplog.at_level(logging.ERROR, "certibayes"):
        assert certibayes(arguments) == 1
    (record,) = caplog.records
    assert record.getMessage() == "mnist: no such file"
    assert record.exc_info is None
