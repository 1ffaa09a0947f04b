"""The jobs of a study with the files that tell how far it is: what `certibayes list` counts."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from certibayes.columns import MODEL_KEYS
from certibayes.config import Study
from certibayes.config.defenses import NoDefense
from certibayes.config.jobs import ModelJob, base_models, gather_jobs, model_jobs
from certibayes.config.simulators.own import OwnPairs
from certibayes.config.task_spec import SimulatorSpec
from certibayes.layout import Layout

STAGES = (
    *("decoder", "simulate", "gather", "train", "retrain"),
    *("attack", "certify", "evaluate", "report"),
)


@dataclass(frozen=True)
class Entry:
    """One job.

    Attributes:
        stage: one of `STAGES`.
        output: the file that is there once the job has finished.
        benchmark: where Snakemake measured it, if it ran before.
        task, budget, model, defense, seed: of the job's model, as far as the stage has one.
        name: of the attack or certificate.
        needs: outputs of the jobs that it reads, without which it runs again.
        like: what jobs of about the same cost have in common, the closest first.
        simulations: rows that the job simulates; 0 where data are read.
        models: keys that the output, a table, holds once the job has finished: a report of a part
            of the study leaves the others out.
    """

    stage: str
    output: Path
    benchmark: Path
    task: str = ""
    budget: int = 0
    model: str = ""
    defense: str = ""
    seed: int = 0
    name: str = ""
    needs: tuple[Path, ...] = ()
    like: tuple[tuple[object, ...], ...] = ()
    simulations: int = 0
    models: frozenset[tuple[str, ...]] = frozenset()

    @property
    def done(self) -> bool:
        """Whether its output, whole, and what it reads exist; Snakemake finds changed values."""
        there = all(path.is_file() for path in (self.output, *self.needs))
        return there and (not self.models or self.models <= _models_in(self.output))

    @property
    def seconds(self) -> float | None:
        """Wall time of its last execution; None if it was not measured."""
        try:
            with self.benchmark.open(newline="") as file:
                return float(next(csv.DictReader(file, delimiter="\t"))["s"])
        except (FileNotFoundError, StopIteration):
            return None


def inventory(study: Study, base: Path) -> list[Entry]:
    """Return every job of a study once.

    Args:
        study: the study, its sweeps expanded.
        base: the workflow's folder, which holds results/ and logs/.
    """
    layout = Layout(base / "results" / study.study)
    entries = [*_tasks(study, layout), *_models(study, layout)]
    report = Entry(
        "report",
        layout.root / "summary.csv",
        _benchmark(layout, layout.root / "report"),
        needs=tuple(entry.output for entry in entries),
        models=frozenset(
            tuple(str(getattr(job, key)) for key in MODEL_KEYS) for job in model_jobs(study)
        ),
    )
    return [*entries, report]


def _models_in(table: Path) -> frozenset[tuple[str, ...]]:
    """Return the keys of the models that a summary has rows of."""
    with table.open(newline="") as file:
        rows = csv.DictReader(file)
        if not {*MODEL_KEYS} <= {*(rows.fieldnames or ())}:
            return frozenset()
        return frozenset(tuple(row[key] for key in MODEL_KEYS) for row in rows)


def estimate(entries: list[Entry]) -> tuple[float, int]:
    """Return what the jobs to do will take by what earlier jobs took, and for how many that holds.

    A job is taken to last as long as its own last execution, else as the mean of the finished jobs
    that differ from it in the seed alone, else in the defense too (of the same kind, where a
    defense is trained). Nothing is assumed about any other job.

    Returns:
        Seconds on one core, and the number of jobs to do that have such a measurement.
    """
    known: dict[tuple[object, ...], list[float]] = {}
    for entry in entries:
        seconds = entry.seconds
        if seconds is not None:
            for key in entry.like:
                known.setdefault(key, []).append(seconds)
    found = [one for entry in entries if not entry.done for one in [_expected(entry, known)] if one]
    return sum(found), len(found)


def _expected(entry: Entry, known: dict[tuple[object, ...], list[float]]) -> float | None:
    if entry.seconds is not None:
        return entry.seconds
    return next((mean(known[key]) for key in entry.like if key in known), None)


def _tasks(study: Study, layout: Layout) -> Iterator[Entry]:
    for job in gather_jobs(study):
        spec, simulates = job.task_spec, isinstance(job.task_spec, SimulatorSpec)
        simulates = simulates and not isinstance(spec, OwnPairs)
        if spec.needs_decoder:
            folder = layout.decoder(job)
            yield Entry(
                "decoder", folder / "run.json", _benchmark(layout, folder / "decoder"), job.task
            )
        for shard in range(job.shards):
            folder = layout.shard(job, shard)
            yield Entry(
                "simulate",
                folder / "run.json",
                _benchmark(layout, folder / "simulate"),
                job.task,
                like=(("simulate", job.task),),
                simulations=spec.shard_size if simulates else 0,
            )
        folder = layout.reference(job)
        yield Entry(
            "gather",
            folder / "run.json",
            _benchmark(layout, folder / "gather"),
            job.task,
            simulations=spec.test_pairs if simulates else 0,
        )


def _models(study: Study, layout: Layout) -> Iterator[Entry]:
    jobs = model_jobs(study)
    needed = {
        (job.task, job.budget, job.model, job.seed)
        for job in jobs
        if isinstance(job.defense_spec, NoDefense) or job.defense_spec.warm_start
    }
    for base in base_models(study):
        if (base.task, base.budget, base.model, base.seed) in needed:
            yield _of_model("train", base, layout, layout.weights(base), "train")
    for job in jobs:
        read = []
        if job.defense != "none":
            read.append(_of_model("retrain", job, layout, layout.weights(job), "retrain"))
        for name in job.attacks:
            folder = layout.attack(job, name)
            read.append(_of_model("attack", job, layout, folder, f"attack/{name}", name))
        for name in job.certificates:
            folder = layout.certify(job, name)
            read.append(_of_model("certify", job, layout, folder, f"certify/{name}", name))
        yield from read
        needs = tuple(entry.output for entry in read)
        folder = layout.evaluate(job)
        yield replace(_of_model("evaluate", job, layout, folder, "evaluate"), needs=needs)


def _of_model(
    stage: str, job: ModelJob, layout: Layout, folder: Path, log: str, name: str = ""
) -> Entry:
    same = (stage, job.task, job.budget, job.model, name)
    kind = job.defense_spec.kind if stage == "retrain" else ""
    return Entry(
        stage,
        folder / "run.json",
        _benchmark(layout, layout.model(job) / log),
        job.task,
        job.budget,
        job.model,
        job.defense,
        job.seed,
        name,
        like=((*same, "defense", job.defense), (*same, "kind", kind)),
    )


def _benchmark(layout: Layout, result: Path) -> Path:
    """Return the measurement that belongs to a path below the results: logs/ has the same tree."""
    logs = layout.root.parents[1] / "logs" / layout.root.name
    path = logs / result.relative_to(layout.root)
    return path.with_name(f"{path.name}.benchmark.tsv")
