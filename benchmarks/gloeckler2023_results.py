"""What a run of studies/gloeckler2023.yaml has left: one line per model, attack and radius."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

ATTACK = "l2pgd"
NOISE = "noise_l2"
MODEL = ("task", "budget", "model", "defense")


@dataclass(frozen=True)
class Results:
    """Evaluated models of the study.

    Attributes:
        table: metrics.csv of all models, with `reverse_kl_mean` from items.npz.
        adaptive: adaptive.csv of all models.
        commits: of the code that trained and evaluated them, shortened.
    """

    table: pd.DataFrame
    adaptive: pd.DataFrame
    commits: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> Results:
        """Read every evaluated model below the study's folder."""
        tables, checks = [], []
        for path in sorted(folder.glob("*/n*/*/*/seed*/evaluate/metrics.csv")):
            table = pd.read_csv(path)
            with np.load(path.with_name("items.npz"), allow_pickle=False) as items:
                table["reverse_kl_mean"] = [
                    _mean(items, row.method, row.epsilon) if row.stage == "attack" else np.nan
                    for row in table.itertuples()
                ]
            tables.append(table)
            for check in sorted(path.parents[1].glob("attack/*/adaptive.csv")):
                name = dict(
                    zip(("task", "budget", "model", "defense"), path.parts[-7:-3], strict=True)
                )
                checks.append(pd.read_csv(check).assign(**name, attack=check.parent.name))
        runs = folder.glob("*/n*/*/*/seed*/*/run.json")
        commits = {json.loads(path.read_text())["git_commit"][:8] for path in runs}
        empty = pd.DataFrame()
        return cls(
            pd.concat(tables, ignore_index=True) if tables else empty,
            pd.concat(checks, ignore_index=True) if checks else empty,
            tuple(sorted(commits)),
        )

    def machine(self) -> str:
        """Return where and with what the results were made."""
        models = self.table[self.table["stage"] == "evaluate"]
        hours = models.drop_duplicates(["task", "budget", "model", "defense", "seed"])
        return (
            f"{len(models)} models on {os.cpu_count()} {platform.machine()} cores of a shared "
            f"machine without GPU; torch {version('torch')}, nflows {version('nflows')}; "
            f"{hours['train_seconds'].sum() / 3600:.1f} hours of training in all, warm starts "
            f"counted in full. Code: {', '.join(self.commits)}."
        )

    def select(self, **where: object) -> pd.DataFrame:
        """Return the lines where every named column has the value, or one of several."""
        found = self.table
        for column, value in where.items():
            values = value if isinstance(value, list | tuple) else [value]
            found = found[found[column].isin(values)]
        return found

    def at(self, quantity: str, **where: object) -> list[float]:
        """Return a quantity of every seed, ascending; empty where nothing was run."""
        values = self.select(**where)[quantity].dropna()
        return sorted(float(value) for value in values)

    def attacked(self, quantity: str, epsilon: float, **where: object) -> list[float]:
        """Return a quantity under the published attack at one radius, one value per seed."""
        return self.at(quantity, method=ATTACK, epsilon=epsilon, **where)

    def clean(self, quantity: str, **where: object) -> list[float]:
        """Return a quantity of the undisturbed observations, one value per seed."""
        return self.at(quantity, stage="evaluate", **where)


def spread(values: Sequence[float]) -> str:
    """Return the mean of the seeds with the lowest and the highest, or a dash."""
    if not values:
        return "-"
    if len(values) == 1:
        return number(values[0])
    return f"{number(mean(values))} ({number(min(values))} to {number(max(values))})"


def mean(values: Sequence[float]) -> float:
    """Return the mean of the seeds, not a number where nothing was run."""
    return float(np.mean(values)) if values else float("nan")


def number(value: float | None) -> str:
    """Return three significant digits."""
    return "-" if value is None or np.isnan(value) else f"{value:.3g}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _mean(items: np.lib.npyio.NpzFile, method: str, epsilon: float) -> float:
    return float(items[f"attack/{method}/{epsilon!r}/reverse_kl"].mean())
