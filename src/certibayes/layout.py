"""Where every file of a study lies; the Snakefile and the stages read the same definitions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from certibayes.config.jobs import Job, ModelJob

MODEL = "{task}/n{budget}/{model}/{defense}/seed{seed}"
SHARD = "{task}/simulate/shard{shard}"
REFERENCE = "{task}/simulate/reference"
DECODER = "{task}/simulate/decoder"


@dataclass(frozen=True)
class Layout:
    """Paths below one study's folder, `results/<study>`."""

    root: Path

    @property
    def state(self) -> Path:
        """Checkpoints and journals, one folder per job key; never a declared output."""
        return self.root / ".state"

    def shard(self, job: Job, shard: int) -> Path:
        """Folder of one shard: theta.npy (or y.npy), x.npy, valid.npy, run.json."""
        return self.root / SHARD.format(task=job.task, shard=shard)

    def reference(self, job: Job) -> Path:
        """Folder of test pairs, observed data and units: test.npz, scale.json, run.json."""
        return self.root / REFERENCE.format(task=job.task)

    def decoder(self, job: Job) -> Path:
        """Folder of a task's decoder: weights.safetensors, manifest.json, run.json."""
        return self.root / DECODER.format(task=job.task)

    def model(self, job: ModelJob) -> Path:
        """Folder of one model; it holds model/, attack/, certify/ and evaluate/."""
        return self.root / MODEL.format(
            task=job.task,
            budget=job.budget,
            model=job.model,
            defense=job.defense,
            seed=job.seed,
        )

    def weights(self, job: ModelJob) -> Path:
        """Folder of the weights: weights.safetensors, manifest.json, run.json."""
        return self.model(job) / "model"

    def attack(self, job: ModelJob, attack: str) -> Path:
        """Folder of one attack: attack.npz, adaptive.csv, adaptive.npz, run.json."""
        return self.model(job) / "attack" / attack

    def certify(self, job: ModelJob, certificate: str) -> Path:
        """Folder of one certificate: certificate.npz, run.json."""
        return self.model(job) / "certify" / certificate

    def evaluate(self, job: ModelJob) -> Path:
        """Folder of the evaluation: metrics.csv, parameters.csv, coverage.csv, items.npz, ..."""
        return self.model(job) / "evaluate"

    @property
    def report(self) -> Path:
        """Folder of figures and tables; `summary.csv` and `invariants.json` lie in the root."""
        return self.root / "report"

    @property
    def study_file(self) -> Path:
        """The resolved study, written whenever the workflow starts; no rule reads it."""
        return self.root / "study.json"

    @property
    def page(self) -> Path:
        """The study on one self-contained page, for whoever has nothing else of it."""
        return self.root / "report.html"

    @property
    def models(self) -> Path:
        """List of the final models, their certificates and the best of every task."""
        return self.root / "models.json"
