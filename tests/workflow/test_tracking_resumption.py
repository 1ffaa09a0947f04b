import json
import os
import signal
import textwrap

import pytest
from tracked import history_of, layout_of, make_job, runs, script, synchronize

from certibayes.attempt import attempt
from certibayes.process import Interrupted

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


def test_kill_and_resume_leave_one_killed_and_one_complete_run(base):
    killed = script(TRAIN, base, 12)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert runs(base)[0][0].info.status == "RUNNING"
    assert not (layout_of(base).reference(make_job()) / "run.json").exists()
    finished = script(TRAIN, base, -1)
    assert finished.returncode == 0, finished.stderr
    (old, new), _ = runs(base)
    assert (old.info.status, new.info.status) == ("KILLED", "FINISHED")
    assert old.data.tags["superseded_by"] == new.info.run_id
    assert new.data.tags["attempt"] == "2"
    expected = [(step, step / 2) for step in range(20)]
    assert history_of(base, new.info.run_id, "train/loss") == expected
    assert history_of(base, old.info.run_id, "train/loss") == expected[:13]
    content = json.loads((layout_of(base).reference(make_job()) / "run.json").read_text())
    assert (content["attempt"], content["resumed_from"]) == (2, old.info.run_id)


def test_close_ends_the_parent_and_runs_whose_process_is_gone(base, monkeypatch, capsys):
    assert script(TRAIN, base, 7).returncode == -signal.SIGKILL
    assert synchronize(base, monkeypatch, {}, close="FAILED") == 0
    (child,), (parent,) = runs(base)
    assert (child.info.status, parent.info.status) == ("KILLED", "FAILED")
    assert history_of(base, child.info.run_id, "train/loss") == [(s, s / 2) for s in range(8)]
    assert "1 journals replayed" in capsys.readouterr().out
    assert synchronize(base, monkeypatch, {}, close="FINISHED") == 0
    assert capsys.readouterr().out == ""
    assert runs(base)[1][0].info.status == "FINISHED"


def test_a_run_whose_process_lives_is_left_alone(base, monkeypatch):
    layout = layout_of(base)
    with attempt(
        "simulate", make_job(), "c", layout, inputs=[], outputs=layout.reference(make_job())
    ) as run:
        assert synchronize(base, monkeypatch, {}, close="FINISHED") == 0
        (child,), _ = runs(base)
        assert child.info.status == "RUNNING"
        run.metrics({"a": 1.0}, 0)
    assert runs(base)[0][0].info.status == "FINISHED"


def test_a_job_that_runs_already_is_not_started_a_second_time(base, monkeypatch):
    from certibayes.flock import LockHeldError

    monkeypatch.setattr("certibayes.attempt.LOCK_SECONDS", 0.2)
    layout, job = layout_of(base), make_job()
    arguments = ("simulate", job, "c", layout)
    with (
        attempt(*arguments, inputs=[], outputs=layout.reference(job), tracked=False),
        pytest.raises(LockHeldError, match=str(os.getpid())),
        attempt(*arguments, inputs=[], outputs=layout.reference(job), tracked=False),
    ):
        pass


def test_finished_parts_are_shared_by_jobs_with_equal_state_key(base):
    def run_with(shards):
        job, layout = make_job(shards=shards), layout_of(base)
        with attempt(
            "simulate",
            job,
            "c",
            layout,
            inputs=[],
            outputs=layout.reference(job),
            state_key=make_job(),
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
    job, layout = make_job(), layout_of(base)
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
