"""Stage `report`: tables, figures and invariants of a study."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime

from certibayes import __version__
from certibayes.address import Session, run_page
from certibayes.attempt import Attempt, attempt
from certibayes.config.jobs import ReportJob
from certibayes.layout import Layout
from certibayes.report import (
    adaptive,
    figures,
    invariants,
    seeds,
    summary,
    table,
    tightness,
    tradeoff,
)
from certibayes.report.models import write_models
from certibayes.report.page import Contents, write_page
from certibayes.report.page_runs import Origin
from certibayes.report.simulations import read_simulations
from certibayes.stages.failures import FAILURES

EVALUATED = ("metrics.csv", "items.npz", "coverage.csv", "parameters.csv", "posterior.npz")
"""Files of an `evaluate` folder that the report reads."""
TABLES = ("summary.csv", "seeds.csv", "tradeoff.csv", "tightness.csv")
"""What it writes into the study's folder."""


def run(job: ReportJob, layout: Layout, code: str) -> None:
    """Write the study's tables, models.json, invariants.json, the folder report/ and its page."""
    folders = [layout.evaluate(model) for model in job.models]
    inputs = [folder / name for folder in folders for name in EVALUATED]
    inputs += adaptive.check_files(job.models, layout)
    references = {layout.reference(model): None for model in job.models}
    counts = [reference / FAILURES for reference in references]
    written = (
        *(*TABLES, "invariants.json"),
        layout.models.name,
        layout.report.name,
        layout.page.name,
    )
    with attempt(
        "report", job, code, layout, inputs=[*inputs, *counts], outputs=layout.root, parts=written
    ) as run:
        collected = summary.collect(folders)
        found = invariants.check(folders)
        layout.report.mkdir(parents=True, exist_ok=True)
        tradeoffs = tradeoff.tradeoff(collected, job.models, job.sweeps)
        drawn = figures.write_all(collected, tradeoffs, folders, layout.report)
        for path in drawn:
            run.artifact(path)
        table.write_html(collected, layout.report / "summary.html")
        checks = adaptive.read_checks(job.models, layout)
        adaptive.write_html(checks, layout.report / "adaptive.html")
        summary.write(checks, layout.report / "adaptive.csv")
        summary.write(collected, layout.root / "summary.csv")
        summary.write(seeds.over_seeds(collected), layout.root / "seeds.csv")
        summary.write(tradeoffs, layout.root / "tradeoff.csv")
        summary.write(tightness.tightness(collected), layout.root / "tightness.csv")
        simulations = read_simulations(counts)
        summary.write(simulations, layout.report / "simulations.csv")
        write_models(job.models, collected, job.selection, layout)
        invariants.write(found, layout.root / "invariants.json")
        contents = Contents(collected, found, checks, simulations, drawn)
        write_page(job, layout, contents, _origin(run, layout))
        for path in (*(layout.root / name for name in TABLES), layout.page):
            run.artifact(path)
        run.finished(
            {
                "report/models": len(folders),
                "report/invariants": len(found),
                "report/broken_invariants": sum(not one.holds for one in found),
            }
        )


def _origin(run: Attempt, layout: Layout) -> Origin:
    return Origin(
        study_file=os.path.relpath(layout.study_file.resolve(), run.base),
        run_id=run.journal.record.run_id,
        commit=run.provenance.get("git_commit"),
        dirty=run.provenance.get("git_dirty") == "true",
        version=__version__,
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        runs=_run_pages(layout),
    )


def _run_pages(layout: Layout) -> Callable[[str], str] | None:
    session = Session.read(layout)
    if session is None or not session.reachable:
        return None
    return lambda run_id: run_page(session, run_id)
