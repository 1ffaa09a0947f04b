"""The summary as plain text for a terminal and as HTML for the report."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape
from importlib.resources import files
from pathlib import Path
from textwrap import fill, wrap
from typing import Any

import pandas as pd

from certibayes.report.exact_table import exact_parts
from certibayes.report.levels import levels
from certibayes.report.rounding import bound_text
from certibayes.report.seeds import over_seeds
from certibayes.report.tightness import tightness_parts
from certibayes.writing import atomic

WIDTH = 120
GROUP = ["task", "budget", "norm", "unit", "clip", "mask"]
MODEL = ["model", "defense", "seed"]
_HEADLINES = (
    *("nll", "accuracy", "ece", "coverage_area", "coverage_90"),
    *("forward_kl_median", "reverse_kl_median", "total_variation_median", "certified_share"),
)
_CELLS = (
    ("epsilon", 9),
    ("clean", 8),
    ("noise", 8),
    ("attacked", 10),
    ("certified", 11),
    ("", 18),
    ("certified", 11),
    ("refuted", 9),
    ("unknown", 9),
    ("clean", 9),
    ("attacked", 10),
)


def render(summary: pd.DataFrame) -> str:
    """Return the table that a run prints, at most 120 columns wide.

    One block per task, budget, norm and unit; in it one line per model and one per epsilon.
    Certified bounds are rounded against the claim: upper bounds up, certified accuracy down.
    """
    table = levels(summary)
    blocks = [_block(group) for _, group in table.groupby(GROUP, sort=False, dropna=False)]
    return "\n\n".join(blocks) + "\n"


def write_html(summary: pd.DataFrame, path: Path) -> None:
    """Write the table with every column as one self-contained HTML page.

    Where models have several seeds, a second part gives mean, standard deviation and range over
    them. Certified shifts stand beside what attacks reach and what the model knows. For tasks with
    an exact posterior a part compares it under attack with the network.
    """
    table = levels(summary)
    parts = [
        f"<h2>{escape(title(group))}</h2>\n<p>{escape(terms(group))}</p>\n"
        + group.assign(certified=_certified(group))
        .drop(columns=[*GROUP, "form"])
        .dropna(axis=1, how="all")
        .rename(columns=lambda name: name.replace("_", " "))
        .to_html(index=False, na_rep="", float_format=lambda value: f"{value:.4g}", border=0)
        for _, group in table.groupby(GROUP, sort=False, dropna=False)
    ]
    style = files("certibayes.report").joinpath("table.css").read_text()
    more = [*tightness_parts(summary), *exact_parts(summary), *_over_seeds(summary)]
    body = "\n".join([*parts, *more])
    page = (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>Summary</title>"
        f"<style>{style}</style></head>\n<body>\n<h1>Summary</h1>\n{body}\n</body></html>\n"
    )
    with atomic(path) as temporary:
        temporary.write_text(page)


def _over_seeds(summary: pd.DataFrame) -> list[str]:
    """Return the numbers of the table's head over seeds, HTML, one part per task and budget."""
    table = over_seeds(summary)
    table = table[(table["n"] > 1) & table["quantity"].isin(_HEADLINES)]
    table = table.drop(columns=["kind", "objective"])
    return [
        f"<h2>{escape(f'{task}, budget {budget}: over seeds')}</h2>\n"
        "<p>mean, standard deviation of a sample, smallest and largest over n seeds</p>\n"
        + rows.drop(columns=["task", "budget"])
        .dropna(axis=1, how="all")
        .rename(columns=lambda name: name.replace("_", " "))
        .to_html(index=False, na_rep="", float_format=lambda value: f"{value:.4g}", border=0)
        for (task, budget), rows in table.groupby(["task", "budget"], sort=False)
    ]


def _certified(group: pd.DataFrame) -> pd.Series:
    posterior = group.iloc[0]["form"] == "posterior"
    return group["certified"].map(lambda value: bound_text(value, up=posterior))


def title(group: pd.DataFrame) -> str:
    """Return task, budget, what the level is and the ball of rows of `levels` that share them."""
    first = group.iloc[0]
    level = "accuracy"
    if first["form"] == "posterior":
        level = "median total variation"
    size = f"{first['observations']:.0f} observations"
    text = f"{first['task']}, budget {first['budget']}: {level}, {size}"
    if not _given(first["norm"]):
        return text
    ball = [f"clip {first['clip']}"] if _given(first["clip"]) else []
    ball += [f"features {first['mask']}"] if _given(first["mask"]) else []
    return ", ".join([f"{text}, ball {first['norm']}, {first['unit']}", *ball])


def terms(group: pd.DataFrame) -> str:
    """Return what a certificate of the group states, or that there is none."""
    if group["certified"].isna().all():
        return "no certificate" + _held(group.iloc[0])
    first = group[group["certified"].notna()].iloc[0]
    if first["form"] == "classification":
        text = "certified: share of observations that no perturbation of the ball can get wrong"
        return text + _held(first)
    return (
        f"certified: upper bound over the ball (verdict at tau {first['tau']:g}, "
        f"confidence {first['confidence']:g}, {first['draws']:.0f} draws, {first['interval']})"
        + _held(first)
    )


def _held(row: pd.Series) -> str:
    """Return what the ball leaves out: features that hardly vary are not perturbed."""
    if not _given(row["inactive_features"]) or row["inactive_features"] == 0:
        return ""
    return (
        f"; {row['inactive_features']:.0f} of {row['features']:.0f} features hardly vary and are "
        "held fixed"
    )


def _block(group: pd.DataFrame) -> str:
    posterior = group.iloc[0]["form"] == "posterior"
    spread, measure = ("[15 %, 85 %]", "coverage at 90 %") if posterior else ("[95 %]", "ECE")
    head = "".join((label or spread).rjust(width) for label, width in _CELLS)
    widths = [width for _, width in _CELLS]
    over = "share of verdicts".rjust(sum(widths[:9])) + measure.rjust(sum(widths[9:]))
    lines = [title(group), *wrap(terms(group), WIDTH, initial_indent="  "), over, head]
    for _, rows in group.groupby(MODEL, sort=False):
        lines.append(_model_line(rows.iloc[0]))
        lines += [_level_line(row) for _, row in rows.iterrows() if _given(row["epsilon"])]
    return "\n".join(line.rstrip() for line in lines)


def _model_line(row: pd.Series) -> str:
    exact = f" (exact {row['nll_exact']:.2f})" if _given(row["nll_exact"]) else ""
    seconds = f"{row['train_seconds']:.0f} s" if _given(row["train_seconds"]) else "-"
    steps = f"{row['train_steps']:.0f}" if _given(row["train_steps"]) else "-"
    accuracy = f", accuracy {row['clean']:.3f}" if row["form"] == "classification" else ""
    name = f"{row['model']}, {row['defense']}, seed {row['seed']}"
    fit = f"NLL {row['nll']:.2f}{exact}{accuracy}{_reference(row)}"
    line = f"{name}: {fit}; {steps} steps, {seconds}"
    return fill(line, WIDTH, initial_indent="  ", subsequent_indent="    ")


def _reference(row: pd.Series) -> str:
    """Return the distance to reference posteriors, or that a benchmark task's are absent."""
    if not _given(row["reference_observations"]):
        return ""
    if row["reference_observations"] == 0:
        return ", no reference posterior found (see docs/c2st.md)"
    return f", C2ST to reference {row['reference_c2st']:.3f}"


def _level_line(row: pd.Series) -> str:
    texts = level_texts(row)
    return "".join(text.rjust(width) for text, (_, width) in zip(texts, _CELLS, strict=True))


def level_texts(row: pd.Series) -> tuple[str, ...]:
    """Return the cells of one epsilon: levels, bound with interval, verdicts, calibration.

    Bounds and shares of verdicts are rounded against the claim.
    """
    before, after = "coverage_clean", "coverage_attacked"
    if row["form"] == "classification":
        before, after = "ece_clean", "ece_attacked"
    return (
        f"{row['epsilon']:g}",
        _number(row["clean"]),
        _number(row["noise"]),
        _number(row["attacked"]),
        bound_text(row["certified"], up=row["form"] == "posterior"),
        _interval(row["certified_low"], row["certified_high"]),
        _percent(row["certified_share"], math.floor),
        _percent(row["refuted_share"]),
        _percent(row["unknown_share"], math.ceil),
        _number(row[before]),
        _number(row[after]),
    )


def _given(value: Any) -> bool:
    return bool(pd.notna(value))


def _number(value: Any) -> str:
    return f"{value:.3f}" if _given(value) else "-"


def _interval(low: Any, high: Any) -> str:
    return f"[{low:.3f}, {high:.3f}]" if _given(low) else "-"


def _percent(value: Any, rounding: Callable[[float], int] = round) -> str:
    return f"{rounding(round(1000 * value, 6)) / 10:.1f} %" if _given(value) else "-"
