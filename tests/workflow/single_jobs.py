"""One job of every stage of a small study, run through the command line."""

import json
import os
import re

import numpy as np

from certibayes.cli import main as certibayes
from certibayes.config.jobs import (
    attack_job,
    base_models,
    certify_job,
    gather_jobs,
    model_job,
    model_jobs,
    report_job,
    simulate_job,
)
from certibayes.config.tracking import Tracking
from certibayes.io import load_arrays, read_json, sha256_of
from certibayes.workflow.plan import TRACKING_VARIABLE

STAGES = ("simulate", "gather", "train", "retrain", "attack", "certify", "evaluate", "report")
TIMES = ("seconds", "job_seconds", "train_seconds")
MADE_AT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC")


def small_study(tracking=None):
    """Return the values of a study with one job of every stage."""
    from conftest import STUDY

    experiment = STUDY["experiments"][0] | {
        "budget": 300,
        "defenses": ["fisher"],
        "attacks": ["pgd"],
    }
    training = {"epochs": 2, "batch_size": 64, "checkpoint_seconds": 1e-9}
    model = {**STUDY["models"]["gaussian"], "training": training}
    return STUDY | {
        "models": {"gaussian": model},
        "tracking": tracking or {"mode": "off"},
        "experiments": [experiment],
    }


def job_of(study, layout, stage):
    """Return a stage's only job, the folder of its outputs, and their names or patterns."""
    (defended,) = model_jobs(study)
    if stage == "simulate":
        job = simulate_job(study, defended.task, 0)
        return job, layout.shard(job, 0)
    if stage == "gather":
        (job,) = gather_jobs(study)
        return job, layout.reference(job)
    if stage == "train":
        (job,) = base_models(study)
        return job, layout.weights(job)
    if stage == "retrain":
        return model_job(defended), layout.weights(defended)
    if stage == "attack":
        return attack_job(defended, "pgd"), layout.attack(defended, "pgd")
    if stage == "certify":
        return certify_job(defended, "shift"), layout.certify(defended, "shift")
    if stage == "evaluate":
        return defended, layout.evaluate(defended)
    return report_job(study), layout.root


def outputs_of(folder):
    """Return the files of an outputs folder: all of it, of the study's folder what is its own."""
    found = [*folder.glob("*"), *(folder / "report").glob("*")]
    return sorted(path for path in found if path.is_file() and path.name[0] != ".")


def run_job(base, study, layout, stage):
    """Run a job as its rule does, but in this process; return the exit code."""
    job, _ = job_of(study, layout, stage)
    os.chdir(base)
    os.environ[TRACKING_VARIABLE] = study.tracking.model_dump_json()
    left_out = {"tracking": True, "models": {"__all__": {"tracking"}}}
    text = job.model_dump_json(exclude=left_out)
    return certibayes([stage, "--job", text, "--code", "code", "--log", f"logs/{stage}.log"])


def content(path):
    """Return what a result says, without times."""
    if path.suffix == ".npz":
        arrays = load_arrays(path)
        return {n: (a.dtype, a.tobytes()) for n, a in arrays.items() if n not in TIMES}
    if path.name == "run.json":
        return sorted(read_json(path)["outputs"])
    if path.name == "manifest.json":
        kept = {k: v for k, v in read_json(path).items() if k not in (*TIMES, "members")}
        return json.dumps(kept)
    if path.suffix == ".npy":
        return np.load(path).tobytes()
    if path.name == "report.html":
        return MADE_AT.sub("", path.read_text())
    return sha256_of(path)


def contents(folder):
    return {str(path.relative_to(folder)): content(path) for path in outputs_of(folder)}


def off(study):
    return study.model_copy(update={"tracking": Tracking(mode="off")})
