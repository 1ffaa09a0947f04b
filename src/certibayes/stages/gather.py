"""Stage `simulate`, last part: test pairs, units and the log of all shards of a task."""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor

from certibayes.attempt import attempt
from certibayes.config.jobs import GatherJob
from certibayes.io import save_arrays, write_json
from certibayes.layout import Layout
from certibayes.seeding import generator
from certibayes.stages.building import build_task
from certibayes.stages.data import shard_files
from certibayes.tasks.base import ClassificationTask, PosteriorTask, Task
from certibayes.threat import Scale

log = logging.getLogger(__name__)
UNIT_DRAWS = 10_000


def run(job: GatherJob, layout: Layout, code: str) -> None:
    """Write test.npz and scale.json; count rows and failed simulations of all shards."""
    task = build_task(job)
    folder = layout.reference(job)
    shards = [layout.shard(job, shard) for shard in range(job.shards)]
    inputs = [path for shard in shards for path in shard_files(shard)]
    with attempt("simulate", job, code, layout, inputs=inputs, outputs=folder) as run:
        target, x = _test_pairs(task, job)
        observed = task.observed() if isinstance(task, PosteriorTask) else None
        observed = x.new_zeros(0, task.x_dim) if observed is None else observed
        scale = Scale.of(_unit_draw(task, job))
        save_arrays(
            folder / "test.npz",
            {"target": target.numpy(), "x": x.numpy(), "observed": observed.numpy()},
        )
        write_json(
            folder / "scale.json",
            {
                "feature_std": scale.feature_std.tolist(),
                "within_std": scale.within_std,
                "inactive_features": int((~scale.active).sum()),
            },
        )
        valid = np.concatenate([np.load(shard / "valid.npy") for shard in shards])
        log.info(
            "%s: %d rows in %d shards, %d failed", job.task, len(valid), job.shards, (~valid).sum()
        )
        run.finished(
            {
                "simulate/rows": len(valid),
                "simulate/failed": int((~valid).sum()),
                "simulate/test_pairs": len(x),
                "simulate/within_std": scale.within_std,
                "simulate/inactive_features": int((~scale.active).sum()),
            }
        )


def _test_pairs(task: Task, job: GatherJob) -> tuple[Tensor, Tensor]:
    if isinstance(task, ClassificationTask):
        return task.test_set()
    theta, x = _draw(task, job, job.task_spec.test_pairs, "test")
    valid = torch.isfinite(x).all(1)
    if not valid.all():
        log.warning(
            "%s: %d of %d test simulations failed and are left out",
            job.task,
            int((~valid).sum()),
            len(x),
        )
    return theta[valid], x[valid]


def _unit_draw(task: Task, job: GatherJob) -> Tensor:
    if isinstance(task, ClassificationTask):
        return task.training_set()[1]
    _, x = _draw(task, job, UNIT_DRAWS, "units")
    return x[torch.isfinite(x).all(1)]


def _draw(task: Task, job: GatherJob, n: int, purpose: str) -> tuple[Tensor, Tensor]:
    assert isinstance(task, PosteriorTask)
    source = generator(job.study_seed, job.task, purpose)
    theta = task.sample_prior(n, source)
    return theta, task.simulate(theta, source)
