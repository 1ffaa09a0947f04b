"""Tables of the report's page: models of a task, and levels against epsilon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from certibayes.config.jobs import EvaluateJob
from certibayes.report.levels import levels
from certibayes.report.rounding import bound_text
from certibayes.report.table import GROUP, MODEL, level_texts, terms, title

_SPREAD = {"posterior": "[15 %, 85 %]", "classification": "[95 %]"}
_MEASURE = {"posterior": "coverage at 90 %", "classification": "ECE"}


def models_table(models: Sequence[EvaluateJob], entries: Sequence[Mapping[str, Any]]) -> str:
    """Return one line per model of a task: what it is, how it fits, how it stands, HTML.

    Args:
        models: the evaluated models of the task.
        entries: theirs of models.json, in the same order.
    """
    lines = "\n".join(_model_line(job, entry) for job, entry in zip(models, entries, strict=True))
    classifier = models[0].model_spec.form == "classification"
    fit = "clean accuracy" if classifier else "clean NLL"
    criterion = escape(entries[0]["standing"]["criterion"])
    return (
        '<div class="wide"><table><thead><tr><th>model</th><th>defense</th>'
        '<th class="start">trained with</th>'
        f"<th>seed</th><th>pairs</th><th>{fit}</th><th>share of best fit</th>"
        f'<th class="text">{criterion}</th></tr></thead>'
        f"<tbody>\n{lines}\n</tbody></table></div>"
    )


def _model_line(job: EvaluateJob, entry: Mapping[str, Any]) -> str:
    standing = entry["standing"]
    value = "-" if standing["value"] is None else f"{standing['value']:.4g}"
    best = " <b>best</b>" if standing["best"] else ""
    return (
        f"<tr><td>{escape(job.model)}</td><td>{escape(job.defense)}</td>"
        f'<td class="text">{escape(_defense(job))}</td><td>{job.seed}</td><td>{job.budget}</td>'
        f"<td>{standing['fit']:.4g}</td><td>{standing['share']:.2f}</td><td>{value}{best}</td></tr>"
    )


def _defense(job: EvaluateJob) -> str:
    """Return kind, weight and ball of a defense, or that the likelihood alone is trained."""
    spec = job.defense_spec
    if spec.kind == "none":
        return "likelihood alone"
    stated = spec.model_dump()
    words = [spec.kind.replace("_", " ")]
    if "beta" in stated:
        words.append(f"beta {stated['beta']:g}")
    if "perturbation" in stated:
        ball = stated["perturbation"]
        words.append(f"{ball['norm']} {ball['epsilon']:g} {ball['unit']}")
    return ", ".join(words)


def level_tables(summary: pd.DataFrame, task: str) -> str:
    """Return the levels of a task, HTML, a table per budget and ball, each with its terms."""
    table = levels(summary)
    table = table[table["task"] == task]
    blocks = table.groupby(GROUP, sort=False, dropna=False)
    return "\n".join(_block(rows) for _, rows in blocks)


def _block(rows: pd.DataFrame) -> str:
    form = rows.iloc[0]["form"]
    heading = title(rows)
    known = rows[rows["epsilon"].notna()]
    if known.empty:
        return f"<h4>{escape(heading)}</h4>\n<p>neither attacks nor certificates</p>"
    body = "\n".join(_model_rows(one) for _, one in known.groupby(MODEL, sort=False))
    head = (
        '<thead><tr><th rowspan="2">epsilon</th><th colspan="5">level</th>'
        f'<th colspan="3">verdicts</th><th colspan="2">{_MEASURE[form]}</th></tr>'
        "<tr><th>clean</th><th>noise</th><th>attacked</th><th>certified</th>"
        f"<th>{_SPREAD[form]}</th><th>certified</th><th>refuted</th><th>unknown</th>"
        "<th>clean</th><th>attacked</th></tr></thead>"
    )
    return (
        f"<h4>{escape(heading)}</h4>\n<p>{escape(terms(rows))}</p>\n"
        f'<div class="wide"><table class="levels">{head}\n{body}</table></div>'
    )


def _model_rows(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    name = f"{first['model']}, {first['defense']}, seed {first['seed']}"
    lines = "".join(
        "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in level_texts(row)) + "</tr>\n"
        for _, row in rows.iterrows()
    )
    return f'<tbody><tr class="model"><th colspan="11">{escape(name)}</th></tr>\n{lines}</tbody>'


def observed_table(written: Sequence[Path], task: str) -> str:
    """Return what is certified at a task's real observations, HTML; empty if there is nothing.

    Args:
        written: files that `figures.write_all` wrote.
        task: name of the task.
    """
    path = next((one for one in written if one.name == f"certified_{task}.csv"), None)
    rows = pd.DataFrame() if path is None else pd.read_csv(path)
    if rows.empty:
        return ""
    first = rows.iloc[0]
    lines = "\n".join(_observed_line(row) for _, row in rows.iterrows())
    return (
        "<h3>Certified at real observations</h3>\n"
        f"<p>Total variation, ball {escape(first['norm'])}, {escape(first['unit'])}; verdict at "
        f"tau {first['tau']:g}, confidence {first['confidence']:g}. <i>Reached</i>: by the "
        "strongest attack, on the certificate's own draws.</p>\n"
        '<div class="wide"><table class="left"><thead><tr><th>observation</th><th>model</th>'
        "<th>defense</th><th>seed</th><th>certificate</th><th>epsilon</th><th>certified</th>"
        f"<th>reached</th><th>verdict</th></tr></thead><tbody>\n{lines}\n</tbody></table></div>"
    )


def _observed_line(row: pd.Series) -> str:
    reached = "-" if pd.isna(row["reached"]) else f"{row['reached']:.3f}"
    texts = (
        str(row["observation"]),
        row["model"],
        row["defense"],
        str(row["seed"]),
        row["method"],
        f"{row['epsilon']:g}",
        bound_text(row["total_variation"], up=True),
        reached,
        row["verdict"],
    )
    return "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in texts) + "</tr>"
