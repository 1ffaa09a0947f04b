"""Stage `report`: tables, figures and invariants of a study."""

from __future__ import annotations

from certibayes.attempt import attempt
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
from certibayes.report.simulations import read_simulations
from certibayes.stages.failures import FAILURES

EVALUATED = ("metrics.csv", "items.npz", "coverage.csv", "parameters.csv", "posterior.npz")
"""Files of an `evaluate` folder that the report reads."""
TABLES = ("summary.csv", "seeds.csv", "tradeoff.csv", "tightness.csv")
"""What it writes into the study's folder."""


def run(job: ReportJob, layout: Layout, code: str) -> None:
    """Write the tables of the study, models.json, invariants.json and the folder report/."""
    folders = [layout.evaluate(model) for model in job.models]
    inputs = [folder / name for folder in folders for name in EVALUATED]
    inputs += adaptive.check_files(job.models, layout)
    references = {layout.reference(model): None for model in job.models}
    counts = [reference / FAILURES for reference in references]
    written = (
        *(*TABLES, "invariants.json"),
        layout.models.name,
        layout.report.name,
    )
    with attempt(
        "report", job, code, layout, inputs=[*inputs, *counts], outputs=layout.root, parts=written
    ) as run:
        collected = summary.collect(folders)
        found = invariants.check(folders)
        layout.report.mkdir(parents=True, exist_ok=True)
        tradeoffs = tradeoff.tradeoff(collected, job.models, job.sweeps)
        for path in figures.write_all(collected, tradeoffs, folders, layout.report):
            run.artifact(path)
        table.write_html(collected, layout.report / "summary.html")
        checks = adaptive.read_checks(job.models, layout)
        adaptive.write_html(checks, layout.report / "adaptive.html")
        summary.write(checks, layout.report / "adaptive.csv")
        summary.write(collected, layout.root / "summary.csv")
        summary.write(seeds.over_seeds(collected), layout.root / "seeds.csv")
        summary.write(tradeoffs, layout.root / "tradeoff.csv")
        summary.write(tightness.tightness(collected), layout.root / "tightness.csv")
        summary.write(read_simulations(counts), layout.report / "simulations.csv")
        write_models(job.models, collected, job.selection, layout)
        invariants.write(found, layout.root / "invariants.json")
        for name in TABLES:
            run.artifact(layout.root / name)
        run.finished(
            {
                "report/models": len(folders),
                "report/invariants": len(found),
                "report/broken_invariants": sum(not one.holds for one in found),
            }
        )
