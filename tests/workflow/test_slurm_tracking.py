"""An MLflow server on PostgreSQL: 16 jobs at once, and jobs on nodes without a network."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from on_slurm import submissions, write_profile
from postgres import binaries, running_postgresql
from served import free_port, running
from sqlalchemy import create_engine, text

from certibayes.journal import read
from conftest import Project

pytestmark = pytest.mark.slurm

JOBS, STEPS = 16, 500
SIXTEEN = """
import os
import sys
import traceback
from pathlib import Path

import mlflow
from tracked import STUDY, layout_of, make_job

from certibayes.attempt import attempt
from certibayes.config.tracking import Tracking
from certibayes.preparation import connect, prepare
from certibayes.reporting import sync

base, uri, jobs, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
tracking = Tracking(uri=uri)
layout = layout_of(base)


def one(number):
    job = make_job(tracking, study_seed=number)
    outputs = layout.root / f"job{number}"
    with attempt("gather", job, "code", layout, inputs=[], outputs=outputs) as run:
        for step in range(steps):
            run.metrics({"train/loss": number + step, "train/rate": 1 / (1 + step)}, step)
            if step % 50 == 0:
                run.reporter.flush()


def send_the_rest():
    sync(connect(tracking, STUDY, layout), layout)


def started(function, *arguments):
    process = os.fork()
    if process == 0:
        try:
            function(*arguments)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return process


def ended(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


assert ended(started(prepare, tracking, STUDY, layout)) == 0
processes = [started(one, number) for number in range(jobs)]
assert [ended(process) for process in processes] == [0] * jobs
assert ended(started(send_the_rest)) == 0
"""


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    """A server that shares two cores with 16 clients needs more than our usual 3 seconds."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")


@pytest.fixture(scope="module")
def server(slurm, tmp_path_factory):
    """Addresses of an MLflow server and of its database."""
    missing = [
        name
        for name, found in (
            ("PostgreSQL", binaries()),
            ("psycopg2", importlib.util.find_spec("psycopg2")),
        )
        if found is None
    ]
    if missing:
        report = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        report(f"{' and '.join(missing)}: not installed")
    base, port = tmp_path_factory.mktemp("server"), free_port()
    with running_postgresql() as database:
        command = (
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false"
            f" exec {sys.executable} -m mlflow server --host 127.0.0.1 --port {port} --workers 2"
            " --uvicorn-opts '--timeout-worker-healthcheck 300'"
            f" --backend-store-uri {database} --artifacts-destination {base / 'artifacts'}"
        )
        with running(command, port, base, path="health"):
            yield f"http://127.0.0.1:{port}", database


def rows(database, query):
    engine = create_engine(database)
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(query))]
    engine.dispose()
    return found


def test_16_jobs_at_once_lose_no_metric_and_open_no_run_twice(server, tmp_path):
    """What a busy server fails to answer is sent again, by the job or by the head process."""
    uri, database = server
    ended = subprocess.run(
        [sys.executable, "-c", SIXTEEN, str(tmp_path), uri, str(JOBS), str(STEPS)],
        cwd=Path(__file__).parent,
        env={**os.environ, "CERTIBAYES_BASE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert ended.returncode == 0, ended.stderr
    jobs = (
        "from runs join tags on tags.run_uuid = runs.run_uuid and tags.key = 'job_key'"
        " join experiments on experiments.experiment_id = runs.experiment_id"
        " where experiments.name = 'demo'"
    )
    finished = "count(*) filter (where status = 'FINISHED')"
    (counts,) = rows(database, f"select count(*), count(distinct tags.value), {finished} {jobs}")
    assert counts == (JOBS, JOBS, JOBS)
    per_metric = rows(
        database,
        "select metrics.key, count(*), count(distinct step), sum(metrics.value)"
        f" from metrics where run_uuid in (select runs.run_uuid {jobs})"
        " and metrics.key like 'train/%' group by run_uuid, metrics.key",
    )
    losses = sorted(row[3] for row in per_metric if row[0] == "train/loss")
    assert {row[1:3] for row in per_metric} == {(STEPS, STEPS)}
    assert len(per_metric) == 2 * JOBS
    assert losses == [STEPS * number + sum(range(STEPS)) for number in range(JOBS)]
    parents = "select count(*) from tags where key = 'study_key' and value = 'demo'"
    assert rows(database, parents) == [(1,)]


def test_nodes_without_a_network_keep_journals_that_the_head_process_sends(
    server, tmp_path_factory
):
    unshare = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True)
    if unshare.returncode != 0:
        pytest.skip(f"jobs cannot be cut off from the network here: {unshare.stderr.strip()}")
    uri, database = server
    project = Project(tmp_path_factory.mktemp("offline"))
    project.study |= {"study": "offline", "tracking": {"mode": "on", "uri": uri}}
    project.write()
    for rule in (project.folder / "rules").glob("*.smk"):
        cut_off = rule.read_text().replace("exec certibayes", "exec unshare --net certibayes")
        rule.write_text(cut_off)
    reference = "results/offline/gaussian_linear_sbibm/simulate/reference"
    options = ["--nolock", "--workflow-profile", write_profile(project)]
    code, output = project.call("snakemake", *options, "--", f"{reference}/run.json")
    assert code == 0, output

    record = json.loads((project.folder / reference / "run.json").read_text())
    assert record["run_id"] is None
    (log,) = (project.folder / "logs" / "offline").rglob("gather.log")
    assert log.read_text().count("no tracking server reachable") == 1
    (journal,) = (
        found
        for path in (project.folder / "results" / "offline" / ".state").glob("*/*.jsonl")
        if (found := read(path)).header["job_key"] == record["key"]
    )
    tag = "select run_uuid from tags where key = 'attempt_id' and value = '{}'"
    ((run,),) = rows(database, tag.format(journal.header["attempt_id"]))
    assert rows(database, f"select status from runs where run_uuid = '{run}'") == [("FINISHED",)]
    sent = rows(database, f"select key, step, value from metrics where run_uuid = '{run}'")
    assert sorted(sent) == sorted((point.name, point.step, point.value) for point in journal.points)
    assert len(sent) > 0
    (number,) = rows(
        database, f"select value from tags where run_uuid = '{run}' and key = 'slurm_job_id'"
    )[0]
    assert number in submissions(project)
