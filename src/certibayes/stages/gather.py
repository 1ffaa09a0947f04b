"""Stage `simulate`, last part: test pairs, units and the log of all shards of a task."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from certibayes.attempt import attempt
from certibayes.config.datasets import DataSet
from certibayes.config.jobs import GatherJob
from certibayes.config.task_spec import SimulatorSpec
from certibayes.io import save_arrays, write_json
from certibayes.layout import Layout
from certibayes.stages.building import build_simulator, simulator_files
from certibayes.stages.drawing import Draws
from certibayes.stages.failures import (
    FAILURES,
    counts_of_shards,
    metrics_of,
    no_failures,
    sum_of_shards,
)
from certibayes.tasks.base import ClassificationTask, PosteriorTask, StoredPairs, Task, ThetaTask
from certibayes.threat import Scale

log = logging.getLogger(__name__)
UNIT_DRAWS = 10_000
FEWEST_UNIT_DRAWS = 200
PER_SHARD = "simulate/failed_per_shard"


def run(job: GatherJob, layout: Layout, code: str) -> None:
    """Write test.npz, scale.json and failures.json, the counts of all shards among them.

    Raises:
        SimulationError: if more test simulations or unit draws fail than the task allows.
    """
    folder = layout.reference(job)
    shards = [layout.shard(job, shard) for shard in range(job.shards)]
    inputs = [shard / FAILURES for shard in shards] + simulator_files(job, layout)
    with attempt("simulate", job, code, layout, inputs=inputs, outputs=folder) as run:
        task = build_simulator(job, layout)
        if isinstance(task, ThetaTask):
            run.params(task.findings())
        per_shard = counts_of_shards(shards)
        for shard, shard_counts in enumerate(per_shard):
            run.metrics(metrics_of(shard_counts, PER_SHARD), step=shard)
        training = sum_of_shards(per_shard)
        draws = Draws(job, run) if isinstance(job.task_spec, SimulatorSpec) else None
        target, x, test = _test_pairs(task, job, draws)
        scale, unit_draws, units = _scale(task, job, draws)
        _write(folder, task, target, x, scale, unit_draws)
        counts = {"training": training, "test": test, "units": units}
        write_json(folder / FAILURES, _policy(job) | counts)
        log.info("%s: %d rows in %d shards", job.task, training["rows"], job.shards)
        run.finished(
            {
                "simulate/rows": training["rows"],
                "simulate/test_pairs": len(x),
                "simulate/test_failed": test["failed"],
                "simulate/units_failed": units["failed"],
                "simulate/within_std": scale.within_std,
                "simulate/inactive_features": int((~scale.active).sum()),
            }
            | metrics_of(training)
        )


def _test_pairs(
    task: Task, job: GatherJob, draws: Draws | None
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    if isinstance(task, ClassificationTask):
        target, x = task.test_set()
        return target, x, no_failures(len(x))
    assert draws is not None
    wanted = job.task_spec.test_pairs
    if isinstance(task, StoredPairs):
        theta, drawn = draws.stored_test(task)
        valid = int(drawn.valid.sum())
        if valid < wanted:
            log.warning(
                "tasks.%s.test_pairs: got %d, of which %d are valid; evaluation.observations is "
                "allowed up to %d",
                *(job.task, wanted, valid, valid),
            )
        return theta[drawn.valid], drawn.x[drawn.valid], drawn.tally.to_json()
    assert isinstance(task, PosteriorTask)
    return draws.draw_valid(task, wanted, "test")


def _scale(task: Task, job: GatherJob, draws: Draws | None) -> tuple[Scale, int, dict[str, Any]]:
    """Measure the units on draws of their own, fewer where shards are small, or on all rows.

    Returns:
        Units, the draws or rows behind them, and the counts of the draws.
    """
    size = job.task_spec.shard_size
    if isinstance(task, PosteriorTask):
        assert draws is not None
        rows = min(UNIT_DRAWS, max(FEWEST_UNIT_DRAWS, size))
        _, drawn = draws.draw(task, rows, "units")
        return Scale.of(drawn.x[drawn.valid]), rows, drawn.tally.to_json()
    existing = job.task_spec.rows
    assert existing is not None
    parts = [slice(first, min(first + size, existing)) for first in range(0, existing, size)]
    free = isinstance(job.task_spec, DataSet) and job.task_spec.perturb_inactive
    return Scale.of_parts(_existing(task, job, parts, draws), free), existing, no_failures(0)


def _existing(
    task: Task, job: GatherJob, parts: Sequence[slice], draws: Draws | None
) -> Iterator[Tensor]:
    for rows in parts:
        if isinstance(task, ClassificationTask):
            yield task.training_set(rows)[1]
            continue
        assert isinstance(task, StoredPairs)
        assert draws is not None
        label = f"rows {rows.start} to {rows.stop} of {job.task}, for the units"
        _, screened = draws.stored(task, rows, label)
        if screened.valid.any():
            yield screened.x[screened.valid]


def _write(
    folder: Path, task: Task, target: Tensor, x: Tensor, scale: Scale, unit_draws: int
) -> None:
    observed = task.observed() if isinstance(task, ThetaTask) else None
    observed = x.new_zeros(0, task.x_dim) if observed is None else observed
    save_arrays(
        folder / "test.npz",
        {"target": target.numpy(), "x": x.numpy(), "observed": observed.numpy()},
    )
    write_json(
        folder / "scale.json",
        {
            "feature_std": scale.feature_std.tolist(),
            "within_std": scale.within_std,
            "data_range": [float(x.min()), float(x.max())],
            "draws": unit_draws,
            "inactive_features": int((~scale.active).sum()),
            "perturb_inactive": scale.perturb_inactive,
        },
    )


def _policy(job: GatherJob) -> dict[str, Any]:
    spec = job.task_spec
    failures = spec.failures if isinstance(spec, SimulatorSpec) else None
    return {"task": job.task, "policy": failures and failures.model_dump(mode="json")}
