"""Jobs that Slurm ends, at their time limit or because somebody cancels them, go on in a retry."""

import json
import os
import signal
import subprocess
import time

import pytest
from on_slurm import submissions, write_profile

from certibayes.journal import read
from conftest import Project

pytestmark = pytest.mark.slurm

WEIGHTS = "results/tiny/gaussian_linear_sbibm/n1000/gaussian/none/seed{seed}/model"
LOOP = "        for metrics in loop.steps():\n"
RESUMED = "        resumed = loop.step > 0\n"
SLOW = "            time.sleep(0.0 if resumed else 0.5)\n"
CANCELLED, LIMITED, INTERRUPTED = 0, 1, 2


def journals_of(project, seed):
    """Return the journals of one model's training, first attempt first."""
    state = project.folder / "results" / "tiny" / ".state"
    found = [(path, read(path)) for path in state.glob("*/*.jsonl")]
    return sorted(
        (
            (path, record)
            for path, record in found
            if record.header and record.header["tags"]["stage"] == "train"
            if record.header["tags"]["seed"] == str(seed)
        ),
        key=lambda entry: entry[0].name,
    )


def slurm_job(record):
    return record.header["tags"]["slurm_job_id"]


def wait_for_checkpoint(project, seed, workflow):
    """Return the Slurm job that has saved the first checkpoint of a model."""
    until = time.monotonic() + 300
    while True:
        for path, record in journals_of(project, seed):
            if (path.parent / "checkpoint.safetensors").exists():
                return slurm_job(record)
        assert workflow.poll() is None, workflow.stdout.read()
        assert time.monotonic() < until, "no checkpoint was saved"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def stopped(slurm, tmp_path_factory):
    """Two trainings that take hours unless they resume; one is cancelled, one meets its limit."""
    project = Project(tmp_path_factory.mktemp("stopped"))
    project.study["tracking"] = {"mode": "off"}
    project.study["models"]["gaussian"]["training"] = {"epochs": 200, "checkpoint_seconds": 0.2}
    project.study["experiments"][0] |= {"seeds": [CANCELLED, LIMITED]}
    project.write()
    training = project.copy_package() / "training.py"
    text = training.read_text()
    assert text.count(LOOP) == 1
    training.write_text(text.replace(LOOP, RESUMED + LOOP + SLOW))
    limit = f"attempt if wildcards.seed == '{LIMITED}' else 20 * attempt"
    profile = write_profile(project, runtime=limit)
    targets = [f"{WEIGHTS.format(seed=seed)}/run.json" for seed in (CANCELLED, LIMITED)]
    options = ["--nolock", "--workflow-profile", profile]
    with project.start("snakemake", *options, "--", *targets) as workflow:
        job = wait_for_checkpoint(project, CANCELLED, workflow)
        subprocess.run(["scancel", job], check=True)
        output, _ = workflow.communicate(timeout=500)
    assert workflow.returncode == 0, output
    return project


@pytest.mark.parametrize(("seed", "end"), [(CANCELLED, "CANCELLED"), (LIMITED, "TIMEOUT")])
def test_the_next_attempt_resumes_from_the_checkpoint_and_may_take_longer(stopped, seed, end):
    jobs = submissions(stopped)
    # A first minute may be over before Python has started: then later limits stop the training.
    *_, (_, before), (_, after) = journals_of(stopped, seed)
    assert jobs[slurm_job(before)].state == end
    assert jobs[slurm_job(after)].state == "COMPLETED"
    assert jobs[slurm_job(after)].minutes > jobs[slurm_job(before)].minutes
    assert (before.status, after.status) == ("KILLED", "FINISHED")
    record = json.loads((stopped.folder / WEIGHTS.format(seed=seed) / "run.json").read_text())
    assert record["attempt"] == len(journals_of(stopped, seed))
    assert record["resumed_from"] == before.header["attempt_id"]
    points = {(point.name, point.step) for point in after.points}
    assert len(points) == len(after.points)
    assert points > {(point.name, point.step) for point in before.points}


def test_the_first_limit_is_a_minute(stopped):
    limits = sorted(job.minutes for job in submissions(stopped).values() if job.state == "TIMEOUT")
    assert limits[0] == 1


def test_an_interrupted_workflow_cancels_what_it_submitted(stopped):
    stopped.study["experiments"][0] |= {"seeds": [INTERRUPTED]}
    stopped.write()
    with stopped.start("certibayes", "run", "--profile", "profiles/quick") as workflow:
        job = wait_for_checkpoint(stopped, INTERRUPTED, workflow)
        os.kill(workflow.pid, signal.SIGINT)
        output, _ = workflow.communicate(timeout=120)
    assert workflow.returncode != 0, output
    until = time.monotonic() + 60
    while submissions(stopped)[job].state in ("RUNNING", "COMPLETING"):
        assert time.monotonic() < until, output
        time.sleep(0.5)
    assert submissions(stopped)[job].state == "CANCELLED"
    ((_, record),) = journals_of(stopped, INTERRUPTED)
    assert record.status == "KILLED"
