"""What is certified at real observations: one row per model, certificate and epsilon."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from certibayes.columns import BALL_KEYS, MODEL_KEYS
from certibayes.report.summary import read_metrics

_TERMS = ("tau", "confidence", "draws", "interval")
_FOUND = ("observation", "total_variation", "reached", "verdict")


def read_certificates(folders: Sequence[Path]) -> pd.DataFrame:
    """Return the certified total variation and the verdict at every real observation.

    Args:
        folders: `evaluate` folders, each with metrics.csv and posterior.npz.

    Returns:
        Columns: the model's keys, method, norm, unit, epsilon, observation (its name),
        total_variation (certified upper bound), reached (by the strongest stored attack, on the
        certificate's own draws; empty without one), verdict, tau, confidence, draws, interval.
    """
    rows = []
    for folder in folders:
        metrics = read_metrics(folder)
        with np.load(folder / "posterior.npz", allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files if key.startswith("certify/")}
            names = [str(name) for name in file.get("observations", ())]
        for _, row in metrics[metrics["stage"] == "certify"].iterrows():
            key = f"certify/{row['method']}/{float(row['epsilon'])!r}"
            bounds, verdicts = arrays.get(f"{key}/upper", ()), arrays.get(f"{key}/verdict", ())
            reached = arrays.get(f"{key}/reached_total_variation", np.full(len(bounds), np.nan))
            found = zip(names[: len(bounds)], bounds, reached, verdicts, strict=True)
            rows += [
                {name: row[name] for name in (*MODEL_KEYS, "method", *BALL_KEYS, *_TERMS)}
                | dict(zip(_FOUND, values, strict=True))
                for values in found
            ]
    columns = [*MODEL_KEYS, "method", *BALL_KEYS, *_FOUND, *_TERMS]
    return pd.DataFrame(rows, columns=columns)


def render_certificates(table: pd.DataFrame) -> str:
    """Return a line per observation and model, bounds rounded up; empty without certificates."""
    lines = []
    for (task, observation), rows in table.groupby(["task", "observation"], sort=False):
        first = rows.iloc[0]
        lines.append(
            f"{task}, real observation {observation}: certified total variation "
            f"(tau {first['tau']:g}, confidence {first['confidence']:g}, {first['norm']}, "
            f"{first['unit']})"
        )
        for (model, defense, seed), part in rows.groupby(["model", "defense", "seed"], sort=False):
            cells = [
                f"{row['epsilon']:g}: {np.ceil(1000 * row['total_variation'] - 1e-6) / 1000:.3f} "
                f"{row['verdict']}"
                for _, row in part.iterrows()
            ]
            lines.append(f"  {model}, {defense}, seed {seed}: " + "; ".join(cells))
    return "\n".join(lines) + "\n" if lines else ""
