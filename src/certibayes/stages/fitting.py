"""What `train` and `retrain` share: one model from rows to stored weights."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict
from pathlib import Path

from torch import Tensor, nn

from certibayes.attempt import Attempt, attempt
from certibayes.bnn.base import WeightInference
from certibayes.config.jobs import ModelJob
from certibayes.defenses.base import Defense
from certibayes.device import chosen_device
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
    member_prefix,
    member_purpose,
    weights_of,
)
from certibayes.stages.data import shard_files
from certibayes.stages.member_progress import MemberProgress, TrainedMember
from certibayes.stages.theta_record import theta_record
from certibayes.stages.training_rows import load_rows
from certibayes.training import FitResult, Report, fit

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 10.0


def fit_job(stage: str, job: ModelJob, layout: Layout, code: str, base: Path | None) -> None:
    """Train the job's model with its defense's objective and store weights and manifest.

    The members of an ensemble are trained one after the other, each with the whole defense, from
    its own base member where there is a base. The manifest states steps and seconds of the model,
    warm start included, and what the training of every member took and reached.

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
    with attempt(stage, job, code, layout, inputs=inputs, outputs=folder) as run:
        device = chosen_device()
        run.computes_on(device.type)
        rows, held_out = load_rows(layout, job)
        progress = MemberProgress(run.checkpoint)
        for member in range(len(progress.trained), job.model_spec.members):
            defense = build_defense(job, layout, task)
            network = build_network(job, layout, task, member)
            inference = _start(job, network, rows, defense, base, member)
            result = fit(
                inference.to(device),
                defense,
                rows,
                held_out,
                job.model_spec.training,
                seed=derive_seed(*_seeds(job), "fit", *member_purpose(member)),
                checkpoint=progress,
                interruption=run.interruption,
                report=_reporter(run, _suffix(job, member)),
            )
            _state_stop(run, result, _suffix(job, member))
            progress.add(TrainedMember(_weights(job, inference.cpu(), member), result))
        manifest = _manifest(job, progress.trained, base) | {"device": device.type}
        manifest |= theta_record(task)
        save_weights(folder, _named(job, progress.trained), manifest)
        run.finished(_summary(job, progress.trained))


def _state_stop(run: Attempt, result: FitResult, suffix: str) -> None:
    """Say that training did not come to its own end, in the log and in the run."""
    if result.stopped is None:
        return
    log.warning(
        "%s; weights of epoch %d, the best of %d, restored",
        *(result.stopped, result.best_epoch, result.epochs),
    )
    run.params({f"training_stopped{suffix}": result.stopped})


def _seeds(job: ModelJob) -> tuple[object, ...]:
    return (job.study_seed, job.task, job.model, job.defense, job.seed)


def _suffix(job: ModelJob, member: int) -> str:
    """Return what tells a member's metrics from those of others; nothing if it is the only one."""
    return "" if job.model_spec.members == 1 else f"_member{member}"


def _reporter(run: Attempt, suffix: str) -> Report:
    """Return the callback that keeps the journal, with a line now and then for whoever watches."""
    spoken = time.monotonic()

    def report(step: int, values: dict[str, float]) -> None:
        nonlocal spoken
        named = {name + suffix: value for name, value in values.items()}
        run.metrics(named, step=step)
        if time.monotonic() - spoken >= SECONDS_BETWEEN_LINES:
            spoken = time.monotonic()
            shown = ", ".join(f"{name} {value:.4g}" for name, value in named.items())
            log.info("step %d: %s", step, shown)

    return report


def _start(
    job: ModelJob,
    network: nn.Module,
    rows: Pairs,
    defense: Defense,
    base: Path | None,
    member: int,
) -> WeightInference:
    """Return a member before its first step."""
    if isinstance(network, Estimator):
        network.fit_standardization(rows, job.model_spec.standardization)
    inference = build_inference(job, network)
    if base is None:
        source = generator(*_seeds(job), "initialization", *member_purpose(member))
        defense.initialize(network, source)
        inference.reset(source)
    else:
        inference.load_lasting_state(load_inference_state(base, member_prefix(job, member)))
        log.info("starting from the weights of %s", base)
    return inference


def _weights(job: ModelJob, inference: WeightInference, member: int) -> dict[str, Tensor]:
    parts = (job.study_seed, job.task, job.seed, "stored weights", *member_purpose(member))
    samples = inference.sample(inference.stored_samples, generator(*parts))
    return weights_of(inference, samples)


def _named(job: ModelJob, trained: list[TrainedMember]) -> dict[str, Tensor]:
    return {
        member_prefix(job, number) + name: value
        for number, member in enumerate(trained)
        for name, value in member.weights.items()
    }


def _manifest(job: ModelJob, trained: list[TrainedMember], base: Path | None) -> dict[str, object]:
    before = {"steps": 0, "seconds": 0.0} if base is None else read_json(base / "manifest.json")
    return {
        "job": job.model_dump(mode="json"),
        "warm_start": base is not None,
        "steps": sum(member.result.steps for member in trained) + before["steps"],
        "seconds": sum(member.result.seconds for member in trained) + before["seconds"],
        "members": [asdict(member.result) for member in trained],
    }


def _summary(job: ModelJob, trained: list[TrainedMember]) -> dict[str, float]:
    summary: dict[str, float] = {
        "train/steps": sum(member.result.steps for member in trained),
        "train/seconds": sum(member.result.seconds for member in trained),
    }
    for number, member in enumerate(trained):
        suffix = _suffix(job, number)
        summary[f"train/best_epoch{suffix}"] = member.result.best_epoch
        summary[f"train/validation_nll{suffix}"] = member.result.validation_nll
        summary[f"train/stopped{suffix}"] = float(member.result.stopped is not None)
    return summary


def _inputs(job: ModelJob, layout: Layout, base: Path | None) -> list[Path]:
    shards = range(job.task_spec.shards(job.budget))
    paths = [path for shard in shards for path in shard_files(layout.shard(job, shard))]
    paths.append(layout.reference(job) / "scale.json")
    return paths if base is None else [*paths, base / "weights.safetensors"]
