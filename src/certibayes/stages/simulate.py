"""Stage `simulate`: one shard of simulations, or the training part of a data set."""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor

from certibayes.attempt import attempt
from certibayes.config.jobs import SimulateJob
from certibayes.io import save_array
from certibayes.layout import Layout
from certibayes.seeding import generator
from certibayes.stages.building import build_task
from certibayes.stages.data import shard_files
from certibayes.tasks.base import ClassificationTask, PosteriorTask, Task

log = logging.getLogger(__name__)


def run(job: SimulateJob, layout: Layout, code: str) -> None:
    """Write one shard: target.npy, x.npy and valid.npy (finite rows), shape (rows, ...)."""
    task = build_task(job)
    folder = layout.shard(job, job.shard)
    with attempt("simulate", job, code, layout, inputs=[], outputs=folder, tracked=False) as run:
        target, x = _shard(task, job)
        valid = torch.isfinite(x).all(1)
        arrays = (target.numpy(), x.numpy(), valid.numpy())
        for path, array in zip(shard_files(folder), arrays, strict=True):
            save_array(path, np.ascontiguousarray(array))
        log.info("shard %d of %s: %d rows, %d failed", job.shard, job.task, len(x), (~valid).sum())
        run.finished({"simulate/rows": len(x), "simulate/failed": int((~valid).sum())})


def _shard(task: Task, job: SimulateJob) -> tuple[Tensor, Tensor]:
    size = job.task_spec.shard_size
    if isinstance(task, ClassificationTask):
        target, x = task.training_set()
        rows = slice(job.shard * size, (job.shard + 1) * size)
        return target[rows], x[rows]
    assert isinstance(task, PosteriorTask)
    source = generator(job.study_seed, job.task, "shard", job.shard)
    theta = task.sample_prior(size, source)
    return theta, task.simulate(theta, source)
