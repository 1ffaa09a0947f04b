"""Real executions; minutes, because every job imports torch and MLflow."""

import json
import os
import signal
import sqlite3
import sys
import time

import pytest

pytestmark = pytest.mark.slow


def wait_for(condition, seconds=240):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)


def query(project, text):
    with sqlite3.connect(project.folder / "mlflow.db") as database:
        return database.execute(text).fetchall()


def small(project):
    project.study["experiments"][0] |= {
        "defenses": ["none"],
        "attacks": ["noise"],
        "certificates": [],
    }
    project.write()


def test_a_killed_workflow_leaves_no_orphan_and_resumes(project):
    small(project)
    training = {"epochs": 1000, "batch_size": 32, "checkpoint_seconds": 0.2}
    project.study["models"]["gaussian"]["training"] = training
    project.write()
    state = project.folder / "results" / "tiny" / ".state"
    weights = project.folder / "results/tiny/gaussian_linear_sbibm/n1000/gaussian/none/seed0/model"

    with project.start("certibayes", "run", "--cores", "2") as workflow:
        wait_for(lambda: list(state.glob("*/checkpoint.safetensors")))
        code, output = project.call("certibayes", "run", "--cores", "2")
        assert code == 1
        assert f"another workflow runs this study: pid {workflow.pid}, " in output
        workflow.kill()
        wait_for(lambda: not project.processes(), seconds=10)
    assert not list(weights.glob("weights.safetensors"))

    code, output = project.call("certibayes", "run", "--cores", "2")
    assert code == 0, output
    record = json.loads((weights / "run.json").read_text())
    assert record["attempt"] == 2
    assert record["resumed_from"] is not None
    assert query(project, "select count(*) from runs where status = 'RUNNING'") == [(0,)]
    assert query(project, "select count(*) from runs where status = 'KILLED'") == [(1,)]
    doubled = "select key from metrics group by run_uuid, key, step having count(*) > 1"
    assert query(project, doubled) == []
    assert "invariants of results/tiny" in output
    assert (project.folder / "results" / "tiny" / "workflow.html").stat().st_size > 1e6
    assert (project.folder / "results" / "tiny" / "report.html").stat().st_size > 5e4
    assert project.planned() == {}


STAGE_LOGS = {
    "simulate": "gaussian_linear_sbibm/simulate/shard0/simulate.log",
    "gather": "gaussian_linear_sbibm/simulate/reference/gather.log",
    "train": "gaussian_linear_sbibm/n1000/gaussian/none/seed0/train.log",
    "retrain": "gaussian_linear_sbibm/n1000/gaussian/fisher/seed0/retrain.log",
    "certify": "gaussian_linear_sbibm/n1000/gaussian/fisher/seed0/certify/shift.log",
    "attack": "gaussian_linear_sbibm/n1000/gaussian/fisher/seed0/attack/noise.log",
    "evaluate": "gaussian_linear_sbibm/n1000/gaussian/fisher/seed0/evaluate.log",
    "report": "report.log",
}


def test_a_workflow_killed_in_every_stage_goes_on_each_time(project):
    project.study["experiments"][0] |= {"defenses": ["fisher"], "attacks": ["noise"]}
    project.write()
    for log in STAGE_LOGS.values():
        with project.start("certibayes", "run", "--cores", "1") as workflow:
            wait_for((project.folder / "logs" / "tiny" / log).exists)
            workflow.kill()
            wait_for(lambda: not project.processes(), seconds=10)
    code, output = project.call("certibayes", "run", "--cores", "1")
    assert code == 0, output
    assert "invariants of results/tiny" in output
    statuses = dict(query(project, "select status, count(*) from runs group by status"))
    assert statuses.pop("FINISHED") >= len(STAGE_LOGS)
    assert set(statuses) <= {"KILLED"}
    doubled = "select key from metrics group by run_uuid, key, step having count(*) > 1"
    assert query(project, doubled) == []
    assert not [path for path in project.results() if ".partial-" in path.name]
    assert project.planned() == {}


def test_a_workflow_is_killed_with_the_make_that_started_it(project):
    small(project)
    project.study["models"]["gaussian"]["training"] = {"epochs": 100_000, "batch_size": 32}
    project.write()
    log = project.folder / "logs/tiny/gaussian_linear_sbibm/n1000/gaussian/none/seed0/train.log"
    run = f"{sys.executable} -m certibayes run --die-with-parent --cores 2"
    (project.folder / "Makefile").write_text(f"run:\n\t@exec {run}\n")
    with project.start_command("make", "run") as make:
        wait_for(log.exists)
        make.kill()
        wait_for(lambda: not project.processes(), seconds=10)


def test_a_stopped_workflow_leaves_a_checkpoint_and_ends_soon(project):
    small(project)
    training = {"epochs": 100_000, "batch_size": 32, "checkpoint_seconds": 1000}
    project.study["models"]["gaussian"]["training"] = training
    project.write()
    log = project.folder / "logs/tiny/gaussian_linear_sbibm/n1000/gaussian/none/seed0/train.log"
    state = project.folder / "results" / "tiny" / ".state"
    with project.start("certibayes", "run", "--cores", "2") as workflow:
        wait_for(log.exists)
        time.sleep(20)
        os.kill(workflow.pid, signal.SIGINT)
        output, _ = workflow.communicate(timeout=60)
    assert workflow.returncode != 0
    assert list(state.glob("*/checkpoint.safetensors")), output
    assert not project.processes()


def test_two_studies_started_at_once_on_a_missing_database_both_finish(project):
    small(project)
    project.write("one.yaml")
    project.study["study"] = "other"
    project.write("two.yaml")
    started = [
        project.start("certibayes", "run", "--cores", "1", "--config", f"{name}.yaml")
        for name in ("one", "two")
    ]
    for process in started:
        output, _ = process.communicate(timeout=500)
        assert process.returncode == 0, output
    names = query(project, "select name from experiments order by name")
    assert {("tiny",), ("other",)} <= set(names)
    assert query(project, "select count(*) from runs where status != 'FINISHED'") == [(0,)]
