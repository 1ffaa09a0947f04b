"""Adaptive checks of a study's attacks: one table, and what it warns of."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib.resources import files
from pathlib import Path

import pandas as pd

from certibayes.columns import MODEL_KEYS
from certibayes.config.jobs import EvaluateJob
from certibayes.layout import Layout
from certibayes.writing import atomic

FILE = "adaptive.csv"


def check_files(models: Iterable[EvaluateJob], layout: Layout) -> list[Path]:
    """Return the table of every attack of every model."""
    return [layout.attack(model, name) / FILE for model in models for name in model.attacks]


def read_checks(models: Iterable[EvaluateJob], layout: Layout) -> pd.DataFrame:
    """Return one row per model, attack and check; no row for attacks without checks."""
    frames = [
        pd.read_csv(layout.attack(model, name) / FILE).assign(
            **{key: getattr(model, key) for key in MODEL_KEYS}, attack=name
        )
        for model in models
        for name in model.attacks
    ]
    filled = [frame for frame in frames if not frame.empty]
    if not filled:
        return pd.DataFrame(columns=[*MODEL_KEYS, "attack", "check", "ratio", "beats"])
    table = pd.concat(filled, ignore_index=True)
    first = [*MODEL_KEYS, "attack"]
    return table[[*first, *(name for name in table.columns if name not in first)]]


def warnings_of(checks: pd.DataFrame) -> list[str]:
    """Return one sentence per check that beats its attack."""
    return [
        f"gradients may be masked: {row['check']} reaches {row['ratio']:.3g} times the median gain "
        f"of {row['attack']} at epsilon {row['epsilon']:g} "
        f"({row['task']}, {row['model']}, {row['defense']}, seed {row['seed']}; sign test over "
        f"{row['observations']} observations: p = {row['p_value']:.2g})"
        for row in checks[checks["beats"].astype(bool)].to_dict("records")
    ]


def write_html(checks: pd.DataFrame, path: Path) -> None:
    """Write warnings and table as one self-contained HTML page."""
    warned = warnings_of(checks)
    notes = "".join(f"<p class='warning'>{escape(text)}</p>\n" for text in warned)
    notes = notes or "<p>No check reaches more than 1.1 times the median gain of its attack.</p>\n"
    body = checks.rename(columns=lambda name: name.replace("_", " ")).to_html(
        index=False, na_rep="", float_format=lambda value: f"{value:.4g}", border=0
    )
    style = files("certibayes.report").joinpath("table.css").read_text()
    page = (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<title>Adaptive checks</title><style>{style}</style></head>\n<body>\n"
        f"<h1>Adaptive checks</h1>\n{notes}{body}\n</body></html>\n"
    )
    with atomic(path) as temporary:
        temporary.write_text(page)
