"""What `train` and `retrain` share: one model from rows to stored weights."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from torch import nn

from certibayes.attempt import Attempt, attempt
from certibayes.bnn.base import WeightInference
from certibayes.config.jobs import ModelJob
from certibayes.estimators.base import Estimator
from certibayes.io import read_json, save_weights
from certibayes.layout import Layout
from certibayes.rows import Pairs
from certibayes.seeding import derive_seed, generator
from certibayes.stages.building import (
    build_defense,
    build_inference,
    build_network,
    build_task,
    load_inference_state,
    weights_of,
)
from certibayes.stages.data import shard_files
from certibayes.stages.training_rows import load_rows
from certibayes.training import FitResult, Report, fit

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 10.0


def fit_job(stage: str, job: ModelJob, layout: Layout, code: str, base: Path | None) -> None:
    """Train the job's model with its defense's objective and store weights and manifest.

    Args:
        stage: name of the stage, for the run.
        job: the model.
        layout: paths of the study.
        code: code digest.
        base: folder of the model to start from, or None for fresh weights.
    """
    task = build_task(job)
    folder = layout.weights(job)
    inputs = _inputs(job, layout, base)
    seeds = (job.study_seed, job.task, job.model, job.defense, job.seed)
    with attempt(stage, job, code, layout, inputs=inputs, outputs=folder) as run:
        rows, held_out = load_rows(layout, job)
        network = build_network(job, layout, task)
        defense = build_defense(job, layout, task)
        inference = _start(job, network, rows, base)
        if base is None:
            defense.initialize(network, generator(*seeds, "initialization"))
            inference.reset()
        result = fit(
            inference,
            defense,
            rows,
            held_out,
            job.model_spec.training,
            seed=derive_seed(*seeds, "fit"),
            checkpoint=run.checkpoint,
            interruption=run.interruption,
            report=_reporter(run),
        )
        _store(job, inference, result, folder, base)
        run.finished({"train/steps": result.steps, "train/seconds": result.seconds})


def _reporter(run: Attempt) -> Report:
    """Return the callback that keeps the journal, with a line now and then for whoever watches."""
    spoken = time.monotonic()

    def report(step: int, values: dict[str, float]) -> None:
        nonlocal spoken
        run.metrics(values, step=step)
        if time.monotonic() - spoken >= SECONDS_BETWEEN_LINES:
            spoken = time.monotonic()
            shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            log.info("step %d: %s", step, shown)

    return report


def _start(job: ModelJob, network: nn.Module, rows: Pairs, base: Path | None) -> WeightInference:
    if isinstance(network, Estimator):
        network.fit_standardization(rows)
    inference = build_inference(job, network)
    if base is not None:
        inference.load_state_dict(load_inference_state(base))
        log.info("starting from the weights of %s", base)
    return inference


def _store(
    job: ModelJob,
    inference: WeightInference,
    result: FitResult,
    folder: Path,
    base: Path | None,
) -> None:
    samples = inference.sample(
        inference.stored_samples, generator(job.study_seed, job.task, job.seed, "stored weights")
    )
    before = {"steps": 0, "seconds": 0.0} if base is None else read_json(base / "manifest.json")
    manifest = {
        "job": job.model_dump(mode="json"),
        "warm_start": base is not None,
        "steps": result.steps + before["steps"],
        "seconds": result.seconds + before["seconds"],
        "validation": result.validation,
    }
    save_weights(folder, weights_of(inference, samples), manifest)


def _inputs(job: ModelJob, layout: Layout, base: Path | None) -> list[Path]:
    shards = range(job.task_spec.shards(job.budget))
    paths = [path for shard in shards for path in shard_files(layout.shard(job, shard))]
    paths.append(layout.reference(job) / "scale.json")
    return paths if base is None else [*paths, base / "weights.safetensors"]
