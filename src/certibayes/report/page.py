"""The study on one self-contained HTML page: what was found, and how each number was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from certibayes.config.jobs import EvaluateJob, ReportJob
from certibayes.io import read_json
from certibayes.layout import Layout
from certibayes.report import page_invariants, page_runs
from certibayes.report.adaptive import warnings_of
from certibayes.report.invariants import Invariant
from certibayes.report.page_figures import Embedder, figures_of
from certibayes.report.page_tables import level_tables, models_table, observed_table
from certibayes.report.page_words import WORDS
from certibayes.report.simulations import render_simulations
from certibayes.writing import atomic

SIDEWAYS = (
    '<p class="soft sideways">Wide tables scroll sideways; zoom into figures for their details.</p>'
)


@dataclass(frozen=True)
class Contents:
    """What the report stage found, for the page.

    Attributes:
        summary: as `summary.collect` returns it.
        invariants: as `invariants.check` returns them.
        checks: as `adaptive.read_checks` returns them.
        simulations: as `simulations.read_simulations` returns them.
        figures: files that `figures.write_all` wrote.
    """

    summary: pd.DataFrame
    invariants: Sequence[Invariant]
    checks: pd.DataFrame
    simulations: pd.DataFrame
    figures: Sequence[Path]


def write_page(
    job: ReportJob, layout: Layout, contents: Contents, origin: page_runs.Origin
) -> None:
    """Write report.html into the study's folder; models.json has to be there already.

    Args:
        job: the report.
        layout: paths of the study.
        contents: what the page shows.
        origin: where it comes from.
    """
    tasks = list(dict.fromkeys(model.task for model in job.models))
    entries = read_json(layout.models)["models"]
    embedder = Embedder(layout.root)
    sections = [
        _task(task, job, layout, contents, entries, embedder, origin, tasks) for task in tasks
    ]
    links = [("in-short", "In short"), ("reading", "How to read it")]
    links += [(f"task-{task}", task) for task in tasks]
    links += [("invariants", "Invariants"), ("origin", "Origin")]
    nav = "".join(f'<a href="#{escape(to)}">{escape(name)}</a>' for to, name in links)
    body = "\n".join(
        [
            f"<h1>{escape(job.study)}</h1>",
            '<p class="soft">Models of one study: trained, attacked, defended, certified.</p>',
            f"<nav>{nav}</nav>",
            _short(contents, entries, origin),
            _reading(),
            *sections,
            _invariants(contents),
            _origin(job, origin),
        ]
    )
    style = files("certibayes.report").joinpath("page.css").read_text()
    page = (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(job.study)}</title>\n<style>{style}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )
    with atomic(layout.page) as temporary:
        temporary.write_text(page)


def _short(
    contents: Contents, entries: Sequence[Mapping[str, Any]], origin: page_runs.Origin
) -> str:
    lines = "\n".join(_best(entry) for entry in entries if entry["standing"]["best"])
    broken = any(not one.holds for one in contents.invariants)
    state = "bad" if broken else "good"
    checks = warnings_of(contents.checks)
    failed = render_simulations(contents.simulations).splitlines()
    return (
        '<h2 id="in-short">In short</h2>\n'
        "<p>The best model of every task, by the rule that the study states under "
        "<code>selection</code>; all others stand beside it in the task's section.</p>\n"
        f'<div class="wide"><table class="left"><thead><tr><th>task</th><th>best model</th>'
        "<th>defense</th><th>by</th><th>value</th><th>share of best fit</th></tr></thead>\n"
        f"<tbody>{lines}</tbody></table></div>\n"
        f'<p>Invariants: <span class="{state}">'
        f"{escape(page_invariants.headline(contents.invariants))}</span>. "
        f"Made {escape(origin.made)} by certibayes {escape(origin.version)}, commit "
        f"{page_runs.commit_text(origin.commit, origin.dirty)}.</p>\n"
        + _caution(
            "Attacks that an adaptive check outdid: robustness may be less than shown", checks
        )
        + _caution("Simulations that failed", failed)
    )


def _caution(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    listed = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<div class="caution"><b>{escape(title)}</b><ul>{listed}</ul></div>\n'


def _best(entry: Mapping[str, Any]) -> str:
    standing = entry["standing"]
    return (
        f'<tr><td><a href="#task-{escape(entry["task"])}">{escape(entry["task"])}</a></td>'
        f"<td>{escape(entry['model'])}</td><td>{escape(entry['defense'])}</td>"
        f'<td class="text">{escape(standing["criterion"])}</td>'
        f"<td>{standing['value']:.4g}</td><td>{standing['share']:.2f}</td></tr>"
    )


def _reading() -> str:
    words = "".join(f"<dt>{escape(word)}</dt><dd>{text}</dd>\n" for word, text in WORDS)
    return f'<h2 id="reading">How to read it</h2>\n<dl class="words">\n{words}</dl>\n{SIDEWAYS}'


def _task(
    task: str,
    job: ReportJob,
    layout: Layout,
    contents: Contents,
    entries: Sequence[Mapping[str, Any]],
    embedder: Embedder,
    origin: page_runs.Origin,
    tasks: Sequence[str],
) -> str:
    models = [model for model in job.models if model.task == task]
    own = [entry for entry in entries if entry["task"] == task]
    figures = [one for one in figures_of(contents.figures, tasks) if one.task == task]
    jobs = page_runs.jobs_of(job, layout, task)
    made = ""
    if jobs:
        made = (
            "<details><summary>How these numbers were made: "
            f"{len(jobs)} jobs</summary>\n{page_runs.table(jobs, origin)}\n</details>"
        )
    return "\n".join(
        [
            f'<h2 id="task-{escape(task)}">{escape(task)}</h2>',
            f"<p>{escape(_about(models[0]))}</p>",
            "<h3>Models</h3>",
            models_table(models, own),
            "<h3>Levels against epsilon</h3>",
            level_tables(contents.summary, task),
            observed_table(contents.figures, task),
            "<h3>Figures</h3>" if figures else "",
            *(embedder.html(figure) for figure in figures),
            made,
        ]
    )


def _about(model: EvaluateJob) -> str:
    """Return the first paragraph that the task's specification says of itself."""
    text = (type(model.task_spec).__doc__ or "").split("\n\n")[0]
    return " ".join(text.split())


def _invariants(contents: Contents) -> str:
    return (
        '<h2 id="invariants">Invariants</h2>\n<p>What must hold if attacks and certificates are '
        "right. A single broken entry fails the run and <code>certibayes report --check</code>; "
        "all entries stand in <code>invariants.json</code>.</p>\n"
        + page_invariants.section(contents.invariants)
    )


def _origin(job: ReportJob, origin: page_runs.Origin) -> str:
    server = (
        "Links of runs open where MLflow's page runs: <code>make ui</code>, or the study's server."
        if origin.runs
        else "No tracking server was reached; <code>certibayes sync</code> sends what is missing."
    )
    facts = (
        (
            "study",
            f"<code>{escape(job.study)}</code>, as resolved in "
            f"<code>{escape(origin.study_file)}</code>",
        ),
        ("made", escape(origin.made)),
        ("certibayes", escape(origin.version)),
        ("commit", page_runs.commit_text(origin.commit, origin.dirty)),
        ("MLflow run", page_runs.run_link(origin.run_id, origin)),
        ("made again by", f"<code>certibayes run --config {escape(origin.study_file)}</code>"),
    )
    listed = "".join(f"<dt>{name}</dt><dd>{text}</dd>\n" for name, text in facts)
    return (
        f'<h2 id="origin">Origin</h2>\n<dl>\n{listed}</dl>\n'
        "<p>Beside every file a <code>run.json</code> names run, inputs with their sha256, code "
        "and commit; <code>certibayes trace FILE</code> reads it, and tells whether inputs and "
        f"outputs are still the same. {server}</p>"
    )
