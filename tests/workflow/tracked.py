"""One small study whose jobs are attempted by hand, and what its tracking store then holds."""

import argparse
import json
import subprocess
import sys

from certibayes.address import Session
from certibayes.attempt import attempt
from certibayes.commands import sync
from certibayes.config.jobs import GatherJob
from certibayes.config.tasks import BUILT_IN
from certibayes.config.tracking import Tracking
from certibayes.layout import Layout
from certibayes.tracking import calls

STUDY = "demo"


def layout_of(base):
    return Layout(base / "results" / STUDY)


def make_job(tracking=None, **changes):
    job = GatherJob(
        study=STUDY,
        study_seed=0,
        tracking=tracking or Tracking(),
        task="digits",
        task_spec=BUILT_IN["digits"](),
        shards=1,
    )
    return job.model_copy(update=changes)


def runs(base, condition=""):
    session = Session.read(layout_of(base))
    with calls(f"sqlite:///{base / 'mlflow.db'}") as client:
        experiment = client.get_experiment_by_name(STUDY).experiment_id
        assert session is None or session.experiment_id in ("", experiment)
        found = client.search_runs([experiment], condition, order_by=["attributes.start_time"])
    return [run for run in found if "job_key" in run.data.tags], [
        run for run in found if "study_key" in run.data.tags
    ]


def history_of(base, run_id, name):
    with calls(f"sqlite:///{base / 'mlflow.db'}") as client:
        history = client.get_metric_history(run_id, name)
    return sorted((metric.step, metric.value) for metric in history)


def script(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def one_attempt(base, text="done", **kwargs):
    layout = layout_of(base)
    job = kwargs.pop("job", make_job())
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


def write_config(base, tracking):
    path = base / "config.yaml"
    path.write_text(
        f"study: {STUDY}\n"
        f"tracking: {json.dumps(tracking)}\n"
        "models: {g: {estimator: {kind: gaussian}}}\n"
        "experiments: [{task: gaussian_linear, budget: 1000, model: g}]\n"
    )
    return path


def synchronize(base, monkeypatch, tracking, **options):
    monkeypatch.setenv("CERTIBAYES_BASE", str(base))
    values = {
        "config": write_config(base, tracking),
        "prepare": False,
        "close": None,
        "again": False,
        **options,
    }
    return sync.main(argparse.Namespace(**values))
