"""What a run of studies/wicker2021.yaml has left: one line per model, attack or certificate."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from certibayes.columns import COLUMNS
from certibayes.config.jobs import EvaluateJob, model_jobs
from certibayes.config.study import Study
from certibayes.report.items import Items
from certibayes.report.summary import collect

KEYS = ("task", "model", "defense")


@dataclass(frozen=True)
class Results:
    """Evaluated models of the study.

    Attributes:
        study: what was to be run.
        jobs: every model of it, of every seed.
        table: the summary of all evaluated models.
        folders: of their evaluations.
        commits: of the code that made them, shortened.
    """

    study: Study
    jobs: list[EvaluateJob]
    table: pd.DataFrame
    folders: tuple[Path, ...]
    commits: tuple[str, ...]

    @classmethod
    def read(cls, study: Study, folder: Path) -> Results:
        """Read every evaluated model below the study's folder."""
        found = sorted(folder.glob("*/n*/*/*/seed*/evaluate/metrics.csv"))
        folders = tuple(path.parent for path in found)
        runs = folder.glob("*/n*/*/*/seed*/*/run.json")
        commits = {json.loads(path.read_text())["git_commit"][:8] for path in runs}
        table = collect(folders) if folders else pd.DataFrame(columns=list(COLUMNS))
        return cls(study, model_jobs(study), table, folders, tuple(sorted(commits)))

    def machine(self) -> str:
        """Return where and with what the results were made."""
        clean = self.table[self.table["stage"] == "evaluate"]
        hours = clean["train_seconds"].sum() / 3600 if len(clean) else 0.0
        code = f" Code: {', '.join(self.commits)}." if self.commits else ""
        return (
            f"{len(clean)} of {len(self.jobs)} models have been run, on {os.cpu_count()} "
            f"{platform.machine()} cores of a shared machine; torch {version('torch')}; "
            f"{hours:.1f} hours of training in all.{code}"
        )

    def held_fixed(self) -> str:
        """Return which pixels no ball moves: of some models those that never vary in training."""
        clean = self.table[self.table["stage"] == "evaluate"]
        held = clean[clean["inactive_features"] > 0]
        if held.empty:
            return "Every pixel may be perturbed."
        models = held.groupby(["task", "inactive_features"], sort=False)["model"].unique()
        parts = (
            f"{int(count)} of {task} for {', '.join(f'`{model}`' for model in named)}"
            for (task, count), named in models.items()
        )
        return f"Pixels that never vary in training are held fixed: {'; '.join(parts)}."

    def job(self, task: str, model: str, defense: str) -> EvaluateJob | None:
        """Return a model of the study, of its first seed; None where the study has none."""
        wanted = (task, model, defense)
        found = (one for one in self.jobs if (one.task, one.model, one.defense) == wanted)
        return next(found, None)

    def rows(self, task: str, model: str, defense: str, **where: object) -> pd.DataFrame:
        """Return the lines of a model where every named column has the value."""
        found = self._by_model.get((task, model, defense), self.table.iloc[:0])
        for column, value in where.items():
            found = found[found[column] == value]
        return found

    @cached_property
    def _by_model(self) -> dict[tuple[object, ...], pd.DataFrame]:
        groups = self.table.groupby(list(KEYS), sort=False)
        return {key: rows for key, rows in groups if isinstance(key, tuple)}

    def clean(self, task: str, model: str, defense: str) -> pd.DataFrame:
        """Return the lines of undisturbed observations, one per seed."""
        return self.rows(task, model, defense, stage="evaluate")

    def certified(self, task: str, model: str, defense: str, epsilon: float) -> pd.DataFrame:
        """Return the lines of the stored ensemble's certificate at one radius, one per seed."""
        named = {"stage": "certify", "kind": "decision", "epsilon": epsilon}
        return self.rows(task, model, defense, **named)

    def attacked(
        self, task: str, model: str, defense: str, attack: str, epsilon: float
    ) -> pd.DataFrame:
        """Return the lines of one attack at one radius, one per seed."""
        named = {"stage": "attack", "method": attack, "epsilon": epsilon}
        return self.rows(task, model, defense, **named)

    def contradictions(self, models: Sequence[str]) -> tuple[int, int]:
        """Return how many certified verdicts an attack of the ball met, and how many it broke."""
        met = broken = 0
        for folder in self.folders:
            if folder.parts[-4] not in models:
                continue
            items = Items.read(folder)
            for certificate in (one for one in items.of("certify") if one.kind == "decision"):
                for attack in filter(certificate.same_ball, items.of("attack")):
                    for epsilon in items.epsilons(certificate):
                        certified = items.get(certificate, epsilon, "certified")
                        correct = items.get(attack, epsilon, "correct")
                        if certified is None or correct is None:
                            continue
                        certified = certified[: len(correct)].astype(bool)
                        met += int(certified.sum())
                        broken += int((certified & ~correct.astype(bool)).sum())
        return met, broken

    def twin(self, model: str, inference: str = "map") -> str | None:
        """Return the study's model on the same network with another inference."""
        network = self.study.models[model].network
        for name, spec in self.study.models.items():
            if spec.network == network and spec.inference.kind == inference:
                return name
        return None


def share(rows: pd.DataFrame, column: str = "accuracy") -> str:
    """Return a share in percent with its 95 % interval; of several seeds mean, least and largest.

    The interval of one seed is over images, the range of several is over seeds.
    """
    values = known(rows, column)
    if not values:
        return "-"
    if len(values) > 1:
        return (
            f"{percent(np.mean(values))} (seeds {percent(min(values))} to {percent(max(values))})"
        )
    low, high = known(rows, f"{column}_low"), known(rows, f"{column}_high")
    if not low or not high:
        return percent(values[0])
    return f"{percent(values[0])} ({percent(low[0])} to {percent(high[0])})"


def interval(rows: pd.DataFrame, column: str) -> str:
    """Return a number with its 95 % interval; of several seeds mean, least and largest."""
    values = known(rows, column)
    if not values:
        return "-"
    if len(values) > 1:
        return f"{np.mean(values):.3f} (seeds {min(values):.3f} to {max(values):.3f})"
    low, high = known(rows, f"{column}_low"), known(rows, f"{column}_high")
    ends = f" ({low[0]:.3f} to {high[0]:.3f})" if low and high else ""
    return f"{values[0]:.3f}{ends}"


def average(rows: pd.DataFrame, column: str) -> float:
    """Return the mean over seeds, not a number where nothing was run."""
    values = known(rows, column)
    return float(np.mean(values)) if values else float("nan")


def known(rows: pd.DataFrame, column: str) -> list[float]:
    """Return the values of a column, those that are missing left out."""
    return [float(value) for value in rows[column].dropna()] if column in rows else []


def percent(value: float) -> str:
    """Return a share in percent, one decimal."""
    return f"{100 * value:.1f} %"
