"""Stage `simulate`: one shard of simulations, or the training part of a data set."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from torch import Tensor

from certibayes.attempt import Attempt, attempt
from certibayes.config.jobs import SimulateJob
from certibayes.io import save_array, write_json
from certibayes.layout import Layout
from certibayes.stages.building import build_simulator, simulator_files
from certibayes.stages.data import shard_files
from certibayes.stages.drawing import LABELS, Draws
from certibayes.stages.failures import FAILURES, metrics_of, no_failures
from certibayes.tasks.base import ClassificationTask, PosteriorTask, StoredPairs, Task

log = logging.getLogger(__name__)


def run(job: SimulateJob, layout: Layout, code: str) -> None:
    """Write one shard: target.npy, x.npy and valid.npy (rows to keep), and failures.json.

    Arrays have shape (rows, ...), theta and x float32, labels int64.

    Raises:
        SimulationError: if more simulations fail than the task allows.
    """
    folder = layout.shard(job, job.shard)
    inputs = simulator_files(job, layout)
    with attempt(
        "simulate", job, code, layout, inputs=inputs, outputs=folder, tracked=False
    ) as run:
        target, x, valid, failures = _shard(build_simulator(job, layout), job, run)
        arrays = (_stored(target), _stored(x), valid)
        for path, array in zip(shard_files(folder), arrays, strict=True):
            save_array(path, array)
        write_json(folder / FAILURES, failures)
        run.finished({"simulate/rows": len(x)} | metrics_of(failures))


def _shard(
    task: Task, job: SimulateJob, run: Attempt
) -> tuple[Tensor, Tensor, np.ndarray, dict[str, Any]]:
    size = job.task_spec.shard_size
    rows = slice(job.shard * size, (job.shard + 1) * size)
    label = LABELS["shard"].format(shard=job.shard, task=job.task)
    if isinstance(task, ClassificationTask):
        target, x = task.training_set(rows)
        log.info("%s: %d rows", label, len(x))
        return target, x, np.ones(len(x), dtype=bool), no_failures(len(x))
    if isinstance(task, StoredPairs):
        own = slice(rows.start, min(rows.stop, _training_rows(job)))
        theta, drawn = Draws(job, run).stored(task, own, label)
    else:
        assert isinstance(task, PosteriorTask)
        theta, drawn = Draws(job, run).draw(task, size, "shard", job.shard)
    return theta, drawn.x, drawn.valid.numpy(), drawn.tally.to_json()


def _training_rows(job: SimulateJob) -> int:
    rows = job.task_spec.rows
    assert rows is not None
    return rows


def _stored(values: Tensor) -> np.ndarray:
    array = values.numpy()
    return np.ascontiguousarray(array, np.float32 if values.is_floating_point() else np.int64)
