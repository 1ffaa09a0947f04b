"""The resolved slice of a study that one job depends on: what stands in its Snakemake params.

A slice holds every value that decides the job's result and nothing else, so Snakemake re-runs a
job exactly when one of them (or the code digest beside it) changes.
"""

from __future__ import annotations

import sys
from typing import Any, Literal, TypeVar

from pydantic import Field

from certibayes.config.adaptive import checks_of
from certibayes.config.attacks import AnyAttack
from certibayes.config.base import Spec
from certibayes.config.certificates import AnyCertificate
from certibayes.config.datasets import DataSet
from certibayes.config.defenses import AnyDefense, NoDefense
from certibayes.config.errors import ConfigError
from certibayes.config.evaluation import Evaluation
from certibayes.config.models import Model
from certibayes.config.selection import Selection
from certibayes.config.simulators.gloeckler2023 import Vae
from certibayes.config.simulators.own import OwnPairs
from certibayes.config.study import Experiment, Study
from certibayes.config.sweeps import Sweep
from certibayes.config.tasks import AnyTask
from certibayes.config.tracking import Tracking

Method = TypeVar("Method", AnyAttack, AnyCertificate)


class Job(Spec):
    """What every job states; `study_seed` seeds simulations and test observations."""

    study: str
    study_seed: int
    tracking: Tracking = Tracking()
    task: str
    task_spec: AnyTask = Field(discriminator="kind")


class SimulateJob(Job):
    """One shard of simulations."""

    shard: int


class DecoderJob(Job):
    """The decoder that a task simulates with; the same for every seed of a study."""

    study_seed: Literal[0] = 0
    task_spec: Vae


class GatherJob(Job):
    """The reference draw, the units and the log of all shards of a task."""

    shards: int


class ModelJob(Job):
    """Everything that identifies one trained model."""

    budget: int
    model: str
    model_spec: Model
    defense: str = "none"
    defense_spec: NoDefense | AnyDefense = Field(default=NoDefense(), discriminator="kind")
    seed: int


class AttackJob(ModelJob):
    """One model and one attack, all epsilons and observations; `checks`: its adaptive checks."""

    attack: str
    attack_spec: AnyAttack
    observations: int
    checks: dict[str, AnyAttack] = Field(default_factory=dict)


class CertifyJob(ModelJob):
    """One model and one certificate, all epsilons and observations."""

    certificate: str
    certificate_spec: AnyCertificate
    observations: int


class EvaluateJob(ModelJob):
    """One model with all its attacks and certificates."""

    attacks: dict[str, AnyAttack]
    certificates: dict[str, AnyCertificate]
    evaluation: Evaluation


class ReportJob(Spec):
    """All evaluated models of a study, how the best is chosen, and the sweeps of its defenses."""

    study: str
    tracking: Tracking = Tracking()
    selection: Selection = Selection()
    sweeps: dict[str, Sweep] = Field(default_factory=dict)
    models: tuple[EvaluateJob, ...]


def model_jobs(study: Study) -> list[EvaluateJob]:
    """Return every model of a study once, with the union of its attacks and certificates."""
    found: dict[tuple[object, ...], EvaluateJob] = {}
    for experiment in study.experiments:
        for defense in experiment.defenses:
            for seed in experiment.seeds:
                job = _evaluate_job(study, experiment, defense, seed)
                key = (job.task, job.budget, job.model, job.defense, job.seed)
                if key in found:
                    job = job.model_copy(
                        update={
                            "attacks": {**found[key].attacks, **job.attacks},
                            "certificates": {**found[key].certificates, **job.certificates},
                        }
                    )
                found[key] = job
    return list(found.values())


def _evaluate_job(study: Study, experiment: Experiment, defense: str, seed: int) -> EvaluateJob:
    model, task = study.models[experiment.model], study.task(experiment.task)
    spec: NoDefense | AnyDefense = NoDefense()
    if defense != "none":
        model, spec = _with_own_training(model, study.defenses[defense])
    return EvaluateJob(
        study=study.study,
        study_seed=study.seed,
        tracking=study.tracking,
        task=experiment.task,
        task_spec=task,
        budget=experiment.budget,
        model=experiment.model,
        model_spec=model,
        defense=defense,
        defense_spec=spec,
        seed=seed,
        attacks={n: _in_own_range(task, study.attacks[n]) for n in experiment.attacks},
        certificates={
            n: _in_own_range(task, study.certificates[n]) for n in experiment.certificates
        },
        evaluation=experiment.evaluation or study.evaluation,
    )


def _in_own_range(task: AnyTask, spec: Method) -> Method:
    """Return an attack or a certificate without a clip range that is the data set's own anyway."""
    ball = spec.perturbation
    if not isinstance(task, DataSet) or ball.clip != task.RANGE:
        return spec
    return spec.model_copy(update={"perturbation": ball.model_copy(update={"clip": None})})


def _with_own_training(model: Model, spec: AnyDefense) -> tuple[Model, AnyDefense]:
    """Move a defense's training schedule into the model, where it replaces the base model's."""
    if spec.training is None:
        return model, spec
    return model.with_training(spec.training), spec.model_copy(update={"training": None})


def base_models(study: Study) -> list[ModelJob]:
    """Return the models that `train` must make: every combination without its defense."""
    jobs = (
        ModelJob(
            **_training_fields(job)
            | {
                "model_spec": study.models[job.model],
                "defense": "none",
                "defense_spec": NoDefense(),
            }
        )
        for job in model_jobs(study)
    )
    return list({(j.task, j.budget, j.model, j.seed): j for j in jobs}.values())


def attack_job(model: EvaluateJob, attack: str) -> AttackJob:
    """Return the slice of one attack on one model."""
    spec = model.attacks[attack]
    return AttackJob(
        **_fields(model, AttackJob),
        attack=attack,
        attack_spec=spec,
        observations=min(model.evaluation.observations, spec.observations or sys.maxsize),
        checks=checks_of(spec, defended=model.defense != "none"),
    )


def certify_job(model: EvaluateJob, certificate: str) -> CertifyJob:
    """Return the slice of one certificate of one model."""
    return CertifyJob(
        **_fields(model, CertifyJob),
        certificate=certificate,
        certificate_spec=model.certificates[certificate],
        observations=model.evaluation.observations,
    )


def model_job(model: EvaluateJob) -> ModelJob:
    """Return the slice that trains a model."""
    return ModelJob(**_training_fields(model))


def gather_jobs(study: Study) -> list[GatherJob]:
    """Return one gather slice per task, with the shards that its largest budget needs."""
    shards: dict[str, int] = {}
    for experiment in study.experiments:
        needed = study.task(experiment.task).shards(experiment.budget)
        shards[experiment.task] = max(shards.get(experiment.task, 0), needed)
    return [GatherJob(**_task_fields(study, task), shards=n) for task, n in shards.items()]


def decoder_job(study: Study, task: str) -> DecoderJob:
    """Return the slice that trains the decoder of a task.

    Raises:
        ConfigError: if the task has none.
    """
    spec = study.task(task)
    if not isinstance(spec, Vae):
        raise ConfigError(f"{task}: got a task without a decoder; allowed: kind vae")
    return DecoderJob(
        study=study.study, tracking=study.tracking, task=task, task_spec=Vae(epochs=spec.epochs)
    )


def simulate_job(study: Study, task: str, shard: int) -> SimulateJob:
    """Return the slice of one shard."""
    fields = _task_fields(study, task)
    return SimulateJob(**fields | {"task_spec": _simulated(study.task(task))}, shard=shard)


def report_job(study: Study) -> ReportJob:
    """Return the slice of the report."""
    return ReportJob(
        study=study.study,
        tracking=study.tracking,
        selection=study.selection,
        sweeps=study.sweeps,
        models=tuple(model_jobs(study)),
    )


def _task_fields(study: Study, task: str) -> dict[str, Any]:
    return {
        "study": study.study,
        "study_seed": study.seed,
        "tracking": study.tracking,
        "task": task,
        "task_spec": study.task(task),
    }


def _training_fields(job: EvaluateJob) -> dict[str, Any]:
    return _fields(job, ModelJob) | {"task_spec": _simulated(job.task_spec)}


def _simulated(spec: AnyTask) -> AnyTask:
    """Return a task without what concerns its test pairs alone: they decide no shard, no weight.

    Stored pairs keep theirs: where the test pairs begin, the training rows end.
    """
    if isinstance(spec, OwnPairs):
        return spec
    default = type(spec).model_fields["test_pairs"].default
    return spec.model_copy(update={"test_pairs": default})


def _fields(job: Spec, target: type[Spec]) -> dict[str, Any]:
    return {name: getattr(job, name) for name in target.model_fields if hasattr(job, name)}
