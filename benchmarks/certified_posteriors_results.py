"""What a run of studies/certified_posteriors.yaml has left, one line per certified shift."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from certibayes.report.observed_certificates import read_certificates
from certibayes.report.posteriors import ObservedPosterior, read_posteriors
from certibayes.report.rounding import bound_text
from certibayes.report.summary import collect
from certibayes.report.tightness import COLUMNS, tightness

MODEL = ("task", "model", "defense")


@dataclass(frozen=True)
class Results:
    """Evaluated models of the study.

    Attributes:
        models: clean rows of the summary.
        shifts: as `tightness` returns them, medians over test observations.
        observed: certified shifts at real observations.
        posteriors: at real observations.
    """

    models: pd.DataFrame
    shifts: pd.DataFrame
    observed: pd.DataFrame
    posteriors: list[ObservedPosterior]

    @classmethod
    def read(cls, folder: Path) -> Results:
        """Read every evaluated model below the study's folder."""
        found = sorted(folder.glob("*/n*/*/*/seed*/evaluate/metrics.csv"))
        folders = [path.parent for path in found]
        if not folders:
            empty = (list(MODEL), list(COLUMNS), [*MODEL, "seed", "epsilon"])
            return cls(*(pd.DataFrame(columns=columns) for columns in empty), posteriors=[])
        summary = collect(folders)
        return cls(
            summary[summary["kind"] == "clean"],
            tightness(summary),
            read_certificates(folders),
            read_posteriors(folders),
        )

    def machine(self) -> str:
        """Return where and with what the results were made."""
        hours = self.models["train_seconds"].sum() / 3600
        return (
            f"{len(self.models)} models on {os.cpu_count()} {platform.machine()} cores; torch "
            f"{version('torch')}, nflows {version('nflows')}; {hours:.1f} hours of training in all."
        )

    def defenses(self, task: str, model: str) -> list[str]:
        """Return the evaluated defenses of one model, the undefended one first."""
        rows = self.shifts[(self.shifts["task"] == task) & (self.shifts["model"] == model)]
        return list(rows["defense"].drop_duplicates())

    def shift(self, quantity: str, epsilon: float, **model: str) -> list[float]:
        """Return a median over test observations, one value per seed, in order of the seeds."""
        rows = _only(self.shifts, model)
        rows = rows[rows["epsilon"] == epsilon].sort_values("seed")
        return [float(value) for value in rows[quantity].dropna()]

    def at_recording(self, quantity: str, epsilon: float, **model: str) -> list[float]:
        """Return a value at the first real observation, one per seed."""
        rows = _only(self.observed, model)
        rows = rows[rows["epsilon"] == epsilon].drop_duplicates("seed").sort_values("seed")
        return [float(value) for value in rows[quantity].dropna()]

    def log_sd_ratio(self, names: tuple[str, ...], **model: str) -> list[float]:
        """Return the largest sd of log theta over that of the reference sampler, one per seed.

        At the first real observation. The reference's sd of a logarithm is its sd over its mean.
        """
        found: dict[int, float] = {}
        for one in self.posteriors:
            if one.reference is None or any(getattr(one, key) != model[key] for key in MODEL):
                continue
            places = [one.names.index(name) for name in names]
            sds = np.log(one.clean[:, places]).std(0, ddof=1)
            mean, sd = one.reference[:, places]
            found.setdefault(one.seed, float((sds * mean / sd).max()))
        return [found[seed] for seed in sorted(found)]


def bounds(values: Sequence[float]) -> str:
    """Return the mean of the seeds with the lowest and the highest, all rounded up, or a dash."""
    if not values:
        return "-"
    mean, low, high = (
        bound_text(value, up=True) for value in (float(np.mean(values)), min(values), max(values))
    )
    return mean if len(values) == 1 else f"{mean} ({low} to {high})"


def _only(table: pd.DataFrame, model: dict[str, str]) -> pd.DataFrame:
    for key in MODEL:
        table = table[table[key] == model[key]]
    return table
