"""A study seen from Snakemake: for every rule and its wildcards, the files and the two params."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from certibayes.config import ConfigError, Study
from certibayes.config.jobs import (
    AttackJob,
    Job,
    ModelJob,
    ReportJob,
    attack_job,
    base_models,
    certify_job,
    decoder_job,
    gather_jobs,
    model_job,
    model_jobs,
    report_job,
    simulate_job,
)
from certibayes.digest import code_digest
from certibayes.layout import DECODER, MODEL, REFERENCE, SHARD, Layout

TRACKING_VARIABLE = "CERTIBAYES_TRACKING"
DEVICE_VARIABLE = "CERTIBAYES_DEVICE"
TRANSFER = "transfer"
TRACKING_OUT: Any = {"tracking": True, "models": {"__all__": {"tracking"}}}


class Plan:
    """Answers the rules' questions about one study.

    Attributes:
        root: the study's folder, `results/<study>`.
        logs: folder of its log and benchmark files.
        decoder, shard, reference, model: path patterns with wildcards, below `root`.
        decoder_logs, shard_logs, reference_logs, model_logs: the same below `logs`.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.root = f"results/{study.study}"
        self.logs = f"logs/{study.study}"
        self.layout = Layout(Path(self.root))
        self.decoder, self.decoder_logs = f"{self.root}/{DECODER}", f"{self.logs}/{DECODER}"
        self.shard, self.shard_logs = f"{self.root}/{SHARD}", f"{self.logs}/{SHARD}"
        self.reference = f"{self.root}/{REFERENCE}"
        self.reference_logs = f"{self.logs}/{REFERENCE}"
        self.model, self.model_logs = f"{self.root}/{MODEL}", f"{self.logs}/{MODEL}"
        self._models = {_key(job): job for job in model_jobs(study)}
        self._bases = {_key(job): job for job in base_models(study)}
        self._gathers = {job.task: job for job in gather_jobs(study)}

    def slice(self, rule: str) -> Callable[[Any], str]:
        """Return the function of the wildcards that gives a rule's `job` param, JSON."""
        return partial(self._slice, rule)

    def code(self, rule: str) -> Callable[[Any], str]:
        """Return the function of the wildcards that gives a rule's `code` param, the digest."""
        return partial(self._code, rule)

    @property
    def report_file(self) -> str:
        """Where the report's job stands: a command line is too short for all models of a study."""
        return f"{self.layout.state}/report.json"

    def report_text(self) -> str:
        """Return the report's job, JSON."""
        return self._slice("report", None)

    def report_digest(self) -> str:
        """Return what changes exactly when the report's job does, 64 hexadecimal digits."""
        return hashlib.sha256(self.report_text().encode()).hexdigest()

    def job(self, rule: str, wildcards: Any) -> Job | ReportJob:
        """Return the job of a rule.

        Raises:
            ConfigError: if the study has no such job.
        """
        if rule == "report":
            return report_job(self.study)
        if rule == "simulate":
            return simulate_job(self.study, self._gather(wildcards).task, int(wildcards.shard))
        if rule == "decoder":
            return decoder_job(self.study, self._gather(wildcards).task)
        if rule == "gather":
            return self._gather(wildcards)
        if rule == "train":
            return _find(self._bases, wildcards)
        model = _find(self._models, wildcards)
        if rule == "retrain":
            return model_job(model)
        if rule == "attack":
            return attack_job(model, _name(model.attacks, wildcards.attack))
        if rule == "certify":
            return certify_job(model, _name(model.certificates, wildcards.certificate))
        return model

    def simulate_inputs(self, wildcards: Any) -> list[str]:
        """Return the files that a task's pairs are made from: a decoder, files of the user's."""
        job = self._gather(wildcards)
        decoder = self._weights(self.layout.decoder(job)) if job.task_spec.needs_decoder else []
        return [*decoder, *job.task_spec.inputs]

    def task_shards(self, wildcards: Any) -> list[str]:
        """Return the counts of failed simulations of all shards of a task."""
        job = self._gather(wildcards)
        return self._shard_files(job, job.shards, ("failures.json",))

    def model_shards(self, wildcards: Any) -> list[str]:
        """Return the files of the shards that a model's budget needs."""
        job = self._gather(wildcards)
        shards = job.task_spec.shards(int(wildcards.budget))
        return self._shard_files(job, shards, ("x.npy", "target.npy", "valid.npy"))

    def base_weights(self, wildcards: Any) -> list[str]:
        """Return the files of the undefended model that retraining starts from, if it does."""
        if not _find(self._models, wildcards).defense_spec.warm_start:
            return []
        base = _find(self._bases, wildcards, defense="none")
        return self._weights(self.layout.weights(base))

    def transfer_weights(self, wildcards: Any) -> list[str]:
        """Return the files of the undefended model that an attack's `transfer` check attacks."""
        job = self.job("attack", wildcards)
        assert isinstance(job, AttackJob)
        if TRANSFER not in job.checks:
            return []
        base = _find(self._bases, wildcards, defense="none")
        return self._weights(self.layout.weights(base))

    def adaptive_checks(self) -> list[str]:
        """Return the tables of adaptive checks of all attacks of all models."""
        return [
            f"{self.layout.attack(job, name)}/adaptive.csv"
            for job in self._models.values()
            for name in job.attacks
        ]

    def findings(self, wildcards: Any) -> list[str]:
        """Return the files of all attacks and certificates of a model."""
        job = _find(self._models, wildcards)
        attacks = [
            f"{self.layout.attack(job, name)}/{file}"
            for name in job.attacks
            for file in ("attack.npz", "adaptive.csv")
        ]
        certificates = [
            f"{self.layout.certify(job, name)}/certificate.npz" for name in job.certificates
        ]
        return attacks + certificates

    def evaluations(self, file: str) -> list[str]:
        """Return one file of every model's evaluation."""
        return [f"{self.layout.evaluate(job)}/{file}" for job in self._models.values()]

    def references(self) -> list[str]:
        """Return the counts of failed simulations of every task."""
        return [f"{self.layout.reference(job)}/failures.json" for job in self._gathers.values()]

    def _slice(self, rule: str, wildcards: Any) -> str:
        return self.job(rule, wildcards).model_dump_json(exclude=TRACKING_OUT)

    def _code(self, rule: str, wildcards: Any) -> str:
        return code_digest(self.job(rule, wildcards))

    def _gather(self, wildcards: Any) -> Any:
        return self._gathers[_name(self._gathers, wildcards.task)]

    def _weights(self, folder: Path) -> list[str]:
        return [f"{folder}/{name}" for name in ("weights.safetensors", "manifest.json")]

    def _shard_files(self, job: Job, shards: int, names: tuple[str, ...]) -> list[str]:
        return [
            f"{self.layout.shard(job, shard)}/{name}" for shard in range(shards) for name in names
        ]


def _key(job: ModelJob) -> tuple[str, str, str, str, str]:
    return (job.task, str(job.budget), job.model, job.defense, str(job.seed))


def _find(models: dict[Any, Any], wildcards: Any, defense: str | None = None) -> Any:
    key = (
        wildcards.task,
        wildcards.budget,
        wildcards.model,
        defense or wildcards.defense,
        wildcards.seed,
    )
    if key not in models:
        known = "; ".join(" ".join(known) for known in models)
        raise ConfigError(f"no model {' '.join(key)} in this study; allowed: {known}")
    return models[key]


def _name(known: dict[str, Any], name: str) -> str:
    if name not in known:
        raise ConfigError(f"got {name!r}; allowed in this study: {', '.join(known) or 'nothing'}")
    return name
