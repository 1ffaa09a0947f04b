"""The tidy summary of a study: one row per model, seed, attack or certificate, and epsilon."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from certibayes.columns import COLUMNS, MODEL_KEYS
from certibayes.writing import atomic

STAGES = ("evaluate", "attack", "certify")


def read_metrics(folder: Path) -> pd.DataFrame:
    """Return metrics.csv of one evaluated model.

    Raises:
        ValueError: if columns are missing or a stage is unknown.
    """
    path = folder / "metrics.csv"
    frame = pd.read_csv(path).copy()  # consolidated: it has more columns than pandas likes apart
    missing = [column for column in COLUMNS if column not in frame.columns]
    if missing:
        raise ValueError(f"{path}: columns missing: {', '.join(missing)}; allowed: all of COLUMNS")
    unknown = sorted(set(frame["stage"]) - set(STAGES))
    if unknown:
        raise ValueError(f"{path}: stage: got {unknown[0]!r}; allowed: {', '.join(STAGES)}")
    return frame


def collect(folders: Sequence[Path]) -> pd.DataFrame:
    """Return the metrics of all evaluated models, sorted; the defense "none" comes first.

    Args:
        folders: `evaluate` folders, each with a metrics.csv.

    Raises:
        ValueError: if there is no folder or a table is malformed.
    """
    if not folders:
        raise ValueError("folders: got none; allowed: at least one evaluated model")
    frame = pd.concat([read_metrics(folder) for folder in folders], ignore_index=True)
    order = frame.assign(
        defense=frame["defense"].where(frame["defense"] != "none", ""),
        stage=frame["stage"].map(STAGES.index),
    )
    by = [*MODEL_KEYS, "stage", "method", "epsilon"]
    return frame.loc[order.sort_values(by, kind="stable").index].reset_index(drop=True)


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV and rename it into place."""
    with atomic(path) as temporary:
        frame.to_csv(temporary, index=False)
