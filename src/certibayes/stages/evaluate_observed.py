"""What a model infers from real observations, clean and attacked, and what it then predicts."""

from __future__ import annotations

import numpy as np
import torch

from certibayes.config.jobs import EvaluateJob
from certibayes.estimators.base import Estimator
from certibayes.layout import Layout
from certibayes.seeding import generator
from certibayes.stages.attack_files import StoredAttack
from certibayes.stages.data import load_reference
from certibayes.stages.findings import Findings
from certibayes.tasks.base import ThetaTask

PREDICTIONS = 10
POINTS = 2_000
LARGEST = 1e30
"""Predicted values end here: what explodes need not be told apart, and fits into float32."""


def add_observed(
    findings: Findings,
    job: EvaluateJob,
    layout: Layout,
    task: ThetaTask,
    model: Estimator,
    attacks: list[StoredAttack],
) -> None:
    """Add draws of theta at every real observation, clean and attacked, and predicted series."""
    observed = load_reference(layout, job).observed
    found = findings.posterior
    found["names"] = np.array(task.theta_names if len(observed) else [], dtype=str)
    names = task.observed_names() or tuple(str(row + 1) for row in range(len(observed)))
    found["features"] = np.array(task.x_names, dtype=str)
    found["observations"] = np.array(names, dtype=str)
    if len(observed) == 0:
        return
    reference = task.reference_moments()
    if reference is not None:
        found["reference_mean"], found["reference_sd"] = (one.numpy() for one in reference)
    inputs = {"clean": observed}
    inputs |= {attack.key: attack.x[-len(observed) :] for attack in attacks}
    for key, x in inputs.items():
        source = generator(job.study_seed, job.task, job.seed, "evaluate", "observed")
        draws = model(x).draw(job.evaluation.report_draws, source)
        for row in range(len(observed)):
            found[f"observed/{row}/{key}"] = draws[:, row].numpy()
            found[f"observed/{row}/x/{key}"] = x[row].numpy()
    _add_predictions(findings, job, task, len(observed))


def _add_predictions(
    findings: Findings, job: EvaluateJob, task: ThetaTask, observations: int
) -> None:
    """Add series simulated from the clean posteriors and, if at hand, the recordings."""
    found, predicted = findings.posterior, []
    for row in range(observations):
        theta = torch.from_numpy(found[f"observed/{row}/clean"][:PREDICTIONS])
        source = generator(job.study_seed, job.task, job.seed, "evaluate", "predicted", row)
        traces = task.traces(theta, row, source)
        if traces is None:
            return
        predicted.append(traces.thinned(POINTS))
    found["predicted/times"] = predicted[0].times
    found["predicted/labels"] = np.array([predicted[0].time_label, *predicted[0].series_labels])
    values = np.stack([traces.values for traces in predicted])
    found["predicted/values"] = values.clip(-LARGEST, LARGEST).astype(np.float32)
    recordings = task.recordings()
    if recordings is not None:
        found["predicted/recordings"] = recordings.thinned(POINTS).values.astype(np.float32)
