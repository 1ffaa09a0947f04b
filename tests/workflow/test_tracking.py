import argparse
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from certibayes.address import Session, TrackingError, database_file, store_uri
from certibayes.attempt import attempt
from certibayes.commands import doctor, sync, trace
from certibayes.config.jobs import GatherJob
from certibayes.config.tasks import BUILT_IN
from certibayes.config.tracking import Tracking
from certibayes.io import save_arrays, save_weights, sha256_of
from certibayes.journal import read
from certibayes.layout import Layout
from certibayes.preparation import connect, create_database, prepare
from certibayes.process import Interrupted
from certibayes.tracking import calls

STUDY = "demo"
PREAMBLE = """
import sys, os, signal, time
from pathlib import Path
import torch
from certibayes.attempt import attempt
from certibayes.config.jobs import GatherJob
from certibayes.config.tasks import BUILT_IN
from certibayes.config.tracking import Tracking
from certibayes.layout import Layout
job = GatherJob(study="demo", study_seed=0, tracking=Tracking(), task="digits",
                task_spec=BUILT_IN["digits"](), shards=1)
layout = Layout(Path(sys.argv[1]) / "results" / "demo")
"""
TRAIN = PREAMBLE + textwrap.dedent(
    """
    kill_at = int(sys.argv[2])
    with attempt("simulate", job, "code", layout, inputs=[], outputs=layout.reference(job)) as run:
        state = run.checkpoint.load()
        assert run.resumed == (state is not None)
        for step in range(0 if state is None else state["step"] + 1, 20):
            run.metrics({"train/loss": step / 2, "train/attempt": float(step)}, step)
            if step % 5 == 4:
                run.checkpoint.save({"step": step, "w": torch.ones(2)})
            run.reporter.flush()
            if step == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
        (layout.reference(job) / "result.txt").write_text("done")
        run.finished({"train/steps": 20})
    """
)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """One migrated database: migrations take seconds, a copy takes none."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    create_database(f"sqlite:///{path}")
    return path


@pytest.fixture
def base(tmp_path, template):
    shutil.copy(template, tmp_path / "mlflow.db")
    return tmp_path


def _layout(base):
    return Layout(base / "results" / STUDY)


def _job(tracking=None, **changes):
    job = GatherJob(
        study=STUDY,
        study_seed=0,
        tracking=tracking or Tracking(),
        task="digits",
        task_spec=BUILT_IN["digits"](),
        shards=1,
    )
    return job.model_copy(update=changes)


def _runs(base, condition=""):
    session = Session.read(_layout(base))
    with calls(f"sqlite:///{base / 'mlflow.db'}") as client:
        experiment = client.get_experiment_by_name(STUDY).experiment_id
        assert session is None or session.experiment_id in ("", experiment)
        found = client.search_runs([experiment], condition, order_by=["attributes.start_time"])
    return [run for run in found if "job_key" in run.data.tags], [
        run for run in found if "study_key" in run.data.tags
    ]


def _history(base, run_id, name):
    with calls(f"sqlite:///{base / 'mlflow.db'}") as client:
        history = client.get_metric_history(run_id, name)
    return sorted((metric.step, metric.value) for metric in history)


def _script(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def _one(base, text="done", **kwargs):
    layout = _layout(base)
    job = kwargs.pop("job", _job())
    folder = layout.reference(job)
    with attempt(
        "simulate",
        job,
        kwargs.pop("code", "code"),
        layout,
        outputs=folder,
        inputs=kwargs.pop("inputs", []),
        **kwargs,
    ) as run:
        run.metrics({"train/loss": 0.5}, step=1)
        (folder / "result.txt").write_text(text)
        run.finished({"train/steps": 3})
    return run, json.loads((folder / "run.json").read_text())


def _closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _config(base, tracking):
    path = base / "config.yaml"
    path.write_text(
        f"study: {STUDY}\n"
        f"tracking: {json.dumps(tracking)}\n"
        "models: {g: {estimator: {kind: gaussian}}}\n"
        "experiments: [{task: gaussian_linear, budget: 1000, model: g}]\n"
    )
    return path


def _sync(base, monkeypatch, tracking, **options):
    monkeypatch.setenv("CERTIBAYES_BASE", str(base))
    values = {"config": _config(base, tracking), "prepare": False, "close": None, **options}
    return sync.main(argparse.Namespace(**values))


@pytest.mark.parametrize("processes", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_processes_that_prepare_two_studies_at_once_on_a_missing_database(tmp_path, processes):
    code = (
        "import sys; from pathlib import Path; from certibayes.config.tracking import Tracking\n"
        "from certibayes.layout import Layout; from certibayes.preparation import prepare\n"
        "root = Path(sys.argv[1]) / 'results' / sys.argv[2]\n"
        "prepare(Tracking(mode='strict'), sys.argv[2], Layout(root))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    started = [
        subprocess.Popen([*command, f"study{i % 2}"], stderr=subprocess.PIPE, text=True)
        for i in range(processes)
    ]
    messages = [process.communicate(timeout=240)[1] for process in started]
    assert [process.returncode for process in started] == [0] * processes, messages
    assert messages == [""] * processes
    with calls(f"sqlite:///{tmp_path / 'mlflow.db'}") as client:
        for study in ("study0", "study1"):
            experiment = client.get_experiment_by_name(study)
            assert experiment.artifact_location == (tmp_path / "mlartifacts" / study).as_uri()
            (parent,) = client.search_runs([experiment.experiment_id])
            assert parent.info.status == "RUNNING"
            executions = [tag for tag in parent.data.tags if tag.startswith("execution.")]
            assert len(executions) == processes // 2
    assert [p.name for p in tmp_path.glob(".mlflow.partial*")] == []


def test_preparing_again_finds_the_same_parent_and_sets_it_running(base):
    first = prepare(Tracking(), STUDY, _layout(base))
    connect(Tracking(), STUDY, _layout(base)).close("FINISHED")
    assert _runs(base)[1][0].info.status == "FINISHED"
    assert prepare(Tracking(), STUDY, _layout(base)) == first
    assert _runs(base)[1][0].info.status == "RUNNING"
    assert first == Session.read(_layout(base))


def test_a_database_of_an_older_schema_is_migrated(base):
    with sqlite3.connect(base / "mlflow.db") as database:
        (head,) = database.execute("select version_num from alembic_version").fetchone()
    database.close()
    older = base / "older.db"
    code = (
        "import sys; from alembic import command\n"
        "from mlflow.store.db.utils import _get_alembic_config\n"
        "command.downgrade(_get_alembic_config(f'sqlite:///{sys.argv[1]}'), '-1')"
    )
    shutil.copy(base / "mlflow.db", older)
    stepped_back = _script(code, older)
    if stepped_back.returncode != 0:
        pytest.skip("the newest migration of this MLflow has no way back")
    older.replace(base / "mlflow.db")
    assert prepare(Tracking(mode="strict"), STUDY, _layout(base)).reachable
    with sqlite3.connect(base / "mlflow.db") as database:
        assert database.execute("select version_num from alembic_version").fetchone() == (head,)
    database.close()


def test_addresses_are_absolute(base):
    assert store_uri(Tracking(), base) == f"sqlite:///{base}/mlflow.db"
    assert store_uri(Tracking(uri="sqlite:///sub/a.db"), base) == f"sqlite:///{base}/sub/a.db"
    assert store_uri(Tracking(uri="sqlite:////abs/a.db"), base) == "sqlite:////abs/a.db"
    assert store_uri(Tracking(uri="http://host:5000"), base) == "http://host:5000"
    assert str(database_file("sqlite:////abs/a.db")) == "/abs/a.db"


def test_a_finished_attempt_is_one_complete_child_run(base):
    source = base / "results" / STUDY / "in.npz"
    save_arrays(source, {"x": np.arange(3)})
    job = _job()
    layout, folder = _layout(base), _layout(base).reference(job)
    with attempt("simulate", job, "c0de", layout, inputs=[source], outputs=folder) as run:
        run.params({"extra": 4})
        for step in range(2500):
            run.metrics({"train/loss": float(step)}, step)
        import torch

        save_weights(folder, {"w": torch.ones(2)}, {"steps": 1})
        (folder / "figure.svg").write_text("<svg/>")
        run.artifact(folder / "figure.svg")
        run.finished({"train/steps": 2500})
    (child,), (parent,) = _runs(base)
    tags, params = child.data.tags, child.data.params
    assert child.info.status == "FINISHED"
    assert child.info.end_time >= child.info.start_time
    assert tags["mlflow.parentRunId"] == parent.info.run_id
    assert (tags["stage"], tags["task"], tags["attempt"]) == ("simulate", "digits", "1")
    assert tags["output.figure.svg"] == sha256_of(folder / "figure.svg")
    assert {"host", "pid", "job_key", "snakemake_version", "torch_version"} <= set(tags)
    assert params["extra"] == "4"
    assert params["task_spec.kind"] == "digits"
    assert params["study_seed"] == "0"
    assert not [name for name in params if name.startswith("tracking")]
    history = _history(base, child.info.run_id, "train/loss")
    assert history == [(step, float(step)) for step in range(2500)]
    assert child.inputs.dataset_inputs[0].dataset.name == f"results/{STUDY}/in.npz"
    stored = base / "mlartifacts" / STUDY / child.info.run_id / "artifacts"
    assert {p.name for p in stored.iterdir()} == {
        "weights.safetensors",
        "manifest.json",
        "figure.svg",
    }
    content = json.loads((folder / "run.json").read_text())
    assert content["run_id"] == child.info.run_id
    assert content["key"] == run.key == tags["job_key"]
    assert content["stage"] == "simulate"
    assert content["code"] == "c0de"
    assert content["inputs"] == {f"results/{STUDY}/in.npz": sha256_of(source)}
    assert set(content["outputs"]) == {"weights.safetensors", "manifest.json", "figure.svg"}
    assert content["outputs"]["figure.svg"] == sha256_of(folder / "figure.svg")
    assert content["summary"] == {"train/steps": 2500.0}
    assert (content["attempt"], content["resumed_from"]) == (1, None)
    assert content["seconds"] > 0
    pickles = [p for p in base.rglob("*") if p.suffix in (".pkl", ".pickle", ".pt", ".pth")]
    assert pickles == []


def test_the_key_depends_on_everything_that_decides_the_result_and_on_nothing_else(base):
    source = base / "results" / STUDY / "in.txt"
    source.parent.mkdir(parents=True)
    source.write_text("a")

    def key(stage="simulate", code="c", inputs=(source,), **changes):
        job, layout = _job(**changes), _layout(base)
        return attempt(stage, job, code, layout, inputs=inputs, outputs=layout.reference(job)).key

    first = key()
    assert key() == first
    assert key(tracking=Tracking(mode="off")) == first
    others = [key(stage="other"), key(code="d"), key(inputs=()), key(study_seed=1)]
    source.write_text("b")
    others.append(key())
    assert len({first, *others}) == 6


def test_kill_and_resume_leave_one_killed_and_one_complete_run(base):
    killed = _script(TRAIN, base, 12)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert _runs(base)[0][0].info.status == "RUNNING"
    assert not (_layout(base).reference(_job()) / "run.json").exists()
    finished = _script(TRAIN, base, -1)
    assert finished.returncode == 0, finished.stderr
    (old, new), _ = _runs(base)
    assert (old.info.status, new.info.status) == ("KILLED", "FINISHED")
    assert old.data.tags["superseded_by"] == new.info.run_id
    assert new.data.tags["attempt"] == "2"
    expected = [(step, step / 2) for step in range(20)]
    assert _history(base, new.info.run_id, "train/loss") == expected
    assert _history(base, old.info.run_id, "train/loss") == expected[:13]
    content = json.loads((_layout(base).reference(_job()) / "run.json").read_text())
    assert (content["attempt"], content["resumed_from"]) == (2, old.info.run_id)


def test_close_ends_the_parent_and_runs_whose_process_is_gone(base, monkeypatch, capsys):
    assert _script(TRAIN, base, 7).returncode == -signal.SIGKILL
    assert _sync(base, monkeypatch, {}, close="FAILED") == 0
    (child,), (parent,) = _runs(base)
    assert (child.info.status, parent.info.status) == ("KILLED", "FAILED")
    assert _history(base, child.info.run_id, "train/loss") == [(s, s / 2) for s in range(8)]
    assert "1 journals replayed" in capsys.readouterr().out
    assert _sync(base, monkeypatch, {}, close="FINISHED") == 0
    assert capsys.readouterr().out == ""
    assert _runs(base)[1][0].info.status == "FINISHED"


def test_a_run_whose_process_lives_is_left_alone(base, monkeypatch):
    layout = _layout(base)
    with attempt(
        "simulate", _job(), "c", layout, inputs=[], outputs=layout.reference(_job())
    ) as run:
        assert _sync(base, monkeypatch, {}, close="FINISHED") == 0
        (child,), _ = _runs(base)
        assert child.info.status == "RUNNING"
        run.metrics({"a": 1.0}, 0)
    assert _runs(base)[0][0].info.status == "FINISHED"


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError, "FAILED"), (Interrupted, "KILLED"), (SystemExit, "KILLED")]
)
def test_an_exception_ends_the_run_and_leaves_no_run_json(base, error, status):
    layout, job = _layout(base), _job()
    with (
        pytest.raises(error, match="reason"),
        attempt("simulate", job, "c", layout, inputs=[], outputs=layout.reference(job)),
    ):
        raise error("reason")
    (child,), _ = _runs(base)
    assert child.info.status == status
    assert child.data.tags["error"] == f"{error.__name__}: reason"
    assert not (layout.reference(job) / "run.json").exists()
    _one(base, code="c")
    assert [run.info.status for run in _runs(base)[0]] == [status, "FINISHED"]


def test_a_job_that_runs_already_is_not_started_a_second_time(base, monkeypatch):
    from certibayes.flock import LockHeldError

    monkeypatch.setattr("certibayes.attempt.LOCK_SECONDS", 0.2)
    layout, job = _layout(base), _job()
    arguments = ("simulate", job, "c", layout)
    with (
        attempt(*arguments, inputs=[], outputs=layout.reference(job), tracked=False),
        pytest.raises(LockHeldError, match=str(os.getpid())),
        attempt(*arguments, inputs=[], outputs=layout.reference(job), tracked=False),
    ):
        pass


def test_finished_parts_are_shared_by_jobs_with_equal_state_key(base):
    def run_with(shards):
        job, layout = _job(shards=shards), _layout(base)
        with attempt(
            "simulate",
            job,
            "c",
            layout,
            inputs=[],
            outputs=layout.reference(job),
            state_key=_job(),
            tracked=False,
        ) as run:
            found = (run.state / "part").exists(), run.resumed, run.checkpoint.load()
            (run.state / "part").write_text("kept")
            run.checkpoint.save({"shards": shards})
        return run.key, found

    first, found = run_with(1)
    assert found == (False, False, None)
    second, found = run_with(2)
    assert found == (True, True, {"shards": 1})
    assert first != second


def test_sigterm_ends_an_attempt_where_it_asks_and_its_parts_stay(base):
    job, layout = _job(), _layout(base)
    arguments = ("simulate", job, "c", layout)
    keywords = {"inputs": [], "outputs": layout.reference(job), "tracked": False}

    def stopped():
        with attempt(*arguments, **keywords) as run:
            run.stop_if_asked()
            (run.state / "part").write_text("kept")
            os.kill(os.getpid(), signal.SIGTERM)
            run.stop_if_asked()

    with pytest.raises(Interrupted, match="finished parts are kept"):
        stopped()
    assert not (layout.reference(job) / "run.json").exists()
    with attempt(*arguments, **keywords) as run:
        assert (run.state / "part").read_text() == "kept"


def test_an_untracked_job_writes_run_json_and_no_run(base, monkeypatch):
    _, content = _one(base, tracked=False)
    assert content["run_id"] is None
    assert content["outputs"]
    assert _sync(base, monkeypatch, {}) == 0
    assert _runs(base)[0] == []


def test_tracking_off_touches_nothing(tmp_path):
    _, content = _one(tmp_path, job=_job(Tracking(mode="off")))
    assert content["run_id"] is None
    assert {p.name for p in tmp_path.iterdir()} == {"results"}


def test_without_a_server_the_job_finishes_says_so_and_is_replayed_later(
    base, monkeypatch, caplog, capsys
):
    offline = Tracking(uri=f"http://127.0.0.1:{_closed_port()}")
    assert _sync(base, monkeypatch, offline.model_dump(), prepare=True) == 0
    _, content = _one(base, job=_job(offline))
    assert content["run_id"] is None
    (message,) = {r.message for r in caplog.records if "no tracking server" in r.message}
    assert str(_layout(base).state) in message
    assert "certibayes sync --config" in message
    assert len([r for r in caplog.records if "no tracking server" in r.message]) == 1
    assert _sync(base, monkeypatch, offline.model_dump(), close="FINISHED") == 0
    assert _sync(base, monkeypatch, offline.model_dump()) == 1

    assert _sync(base, monkeypatch, {}) == 0
    (child,), (parent,) = _runs(base)
    assert child.info.status == "FINISHED"
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.params["task"] == "digits"
    assert _history(base, child.info.run_id, "train/loss") == [(1, 0.5)]
    assert _sync(base, monkeypatch, {}) == 0
    for marker in _layout(base).state.glob("*/*.sent.json"):
        marker.unlink()
    assert _sync(base, monkeypatch, {}) == 0
    assert len(_runs(base)[0]) == 1
    assert _history(base, child.info.run_id, "train/loss") == [(1, 0.5)]
    capsys.readouterr()
    assert trace.main(argparse.Namespace(file=_layout(base).reference(_job()))) == 0
    assert child.info.run_id in capsys.readouterr().out


def test_strict_mode_makes_an_unreachable_server_an_error(base, monkeypatch):
    strict = Tracking(mode="strict", uri=f"http://127.0.0.1:{_closed_port()}")
    with pytest.raises(TrackingError, match="no tracking server"):
        prepare(strict, STUDY, _layout(base))
    with pytest.raises(TrackingError, match="no tracking server"):
        _one(base, job=_job(strict))
    assert _sync(base, monkeypatch, strict.model_dump(), prepare=True) == 1


def test_a_store_that_fails_in_mid_run_costs_nothing_and_the_run_is_completed(base, monkeypatch):
    from certibayes.tracking import Store

    layout, job = _layout(base), _job()
    send, failures = Store.send, [TrackingError("gone"), None, TrackingError("gone")]

    def failing(self, run_id, points, params=None):
        send(self, run_id, points, params)
        if failures and (error := failures.pop()):
            raise error

    monkeypatch.setattr(Store, "send", failing)
    with attempt("simulate", job, "c", layout, inputs=[], outputs=layout.reference(job)) as run:
        for step in range(10):
            run.metrics({"train/loss": float(step)}, step)
            run.reporter.flush()
    (child,), _ = _runs(base)
    assert child.info.status == "FINISHED"
    history = _history(base, child.info.run_id, "train/loss")
    assert history == [(step, float(step)) for step in range(10)]


def test_long_values_are_cut_to_what_mlflow_takes(base):
    layout, job = _layout(base), _job()
    with attempt("simulate", job, "c", layout, inputs=[], outputs=layout.reference(job)) as run:
        run.params({"long": "x" * 10_000, **{f"p{i}": i for i in range(250)}})
        run.metrics({"huge": float("inf"), "nothing": float("nan")}, 0)
    (child,), _ = _runs(base)
    assert len(child.data.params["long"]) == 6000
    assert child.data.params["p249"] == "249"
    journal = next(layout.state.glob("*/*.jsonl"))
    assert read(journal).params["long"] == "x" * 10_000


def test_trace_leads_from_a_file_to_its_run_and_notices_changes(base, capsys):
    source = base / "results" / STUDY / "in.txt"
    source.parent.mkdir(parents=True)
    source.write_text("a")
    run, content = _one(base, inputs=[source])
    folder = _layout(base).reference(_job())
    assert trace.main(argparse.Namespace(file=folder / "result.txt")) == 0
    printed = capsys.readouterr().out
    for part in (content["run_id"], run.key, "simulate", "in.txt", "result.txt", "same"):
        assert part in printed
    source.write_text("b")
    assert trace.main(argparse.Namespace(file=folder / "run.json")) == 1
    assert "CHANGED" in capsys.readouterr().out
    source.unlink()
    assert trace.main(argparse.Namespace(file=folder)) == 1
    assert "missing" in capsys.readouterr().out
    assert trace.main(argparse.Namespace(file=base / "results" / STUDY)) == 2


def test_doctor_finds_a_broken_database(base, monkeypatch, capsys):
    monkeypatch.setenv("CERTIBAYES_BASE", str(base))
    arguments = argparse.Namespace(config=_config(base, {}))
    assert doctor.main(arguments) == 0
    printed = capsys.readouterr().out
    for part in ("mlflow", "schema", "check ok", "file locks       work", "GB free"):
        assert part in printed
    (base / "mlflow.db").write_bytes(b"garbage" * 100)
    assert doctor.main(arguments) == 1
    assert "PROBLEM" in capsys.readouterr().out
