"""A study of 10,000 jobs: every job's files and params, and the dry run of Snakemake."""

import time
from collections import Counter
from types import SimpleNamespace

import pytest
import yaml

from certibayes.config import load
from certibayes.config.jobs import base_models, model_jobs
from certibayes.workflow.plan import Plan
from conftest import STUDY

pytestmark = pytest.mark.slow
SEEDS = 700
SECONDS = 60
LONGEST_ARGUMENT = 2**17
"""Bytes of one argument of a command on Linux; a rule's whole command is one, with the params."""


def large_study():
    experiment = {**STUDY["experiments"][0], "seeds": list(range(SEEDS))}
    return {**STUDY, "tracking": {"mode": "off"}, "experiments": [experiment]}


def wildcards_of(job, **more):
    names = ("task", "model", "defense")
    values = {name: getattr(job, name) for name in names}
    return SimpleNamespace(**values, budget=str(job.budget), seed=str(job.seed), **more)


def jobs_of(study):
    """Yield rule and wildcards of every job on a model."""
    for job in base_models(study):
        yield "train", wildcards_of(job)
    for job in model_jobs(study):
        if job.defense != "none":
            yield "retrain", wildcards_of(job)
        for name in job.attacks:
            yield "attack", wildcards_of(job, attack=name)
        for name in job.certificates:
            yield "certify", wildcards_of(job, certificate=name)
        yield "evaluate", wildcards_of(job)


def test_ten_thousand_jobs_are_planned_within_a_minute(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(large_study()))
    started = time.process_time()
    plan = Plan(load(path))
    counts, codes = Counter(), set()
    for rule, wildcards in jobs_of(plan.study):
        counts[rule] += 1
        codes.add((rule, plan.code(rule)(wildcards)))
        assert len(plan.slice(rule)(wildcards)) < LONGEST_ARGUMENT / 4
        if rule == "evaluate":
            assert len(plan.findings(wildcards)) == 5
    assert len(plan.report_digest()) == 64
    assert time.process_time() - started < SECONDS
    models = 3 * SEEDS
    assert counts == {
        "train": SEEDS,
        "retrain": 2 * SEEDS,
        "attack": 2 * models,
        "certify": models,
        "evaluate": models,
    }
    assert sum(counts.values()) > 10_000
    assert len(codes) < 20


def test_the_report_of_many_models_does_not_stand_in_a_command(project):
    project.study = {**large_study(), "tracking": {"mode": "strict"}}
    project.study["experiments"][0]["seeds"] = list(range(30))
    project.write()
    text = Plan(load(project.folder / "config.yaml")).report_text()
    assert len(text) > LONGEST_ARGUMENT
    code, output = project.snakemake("--dry-run", "--printshellcmds", "--quiet", "host")
    assert code == 0, output
    (command,) = (line for line in output.splitlines() if "certibayes report" in line)
    assert "--job @results/tiny/.state/report.json" in command
    assert max(map(len, output.splitlines())) < LONGEST_ARGUMENT
