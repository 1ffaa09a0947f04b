"""Stage `report`: tables, figures and invariants of a study."""

from __future__ import annotations

from certibayes.attempt import attempt
from certibayes.config.jobs import ReportJob
from certibayes.layout import Layout
from certibayes.report import figures, invariants, summary, table
from certibayes.report.simulations import read_simulations
from certibayes.stages.failures import FAILURES


def run(job: ReportJob, layout: Layout, code: str) -> None:
    """Write summary.csv, invariants.json and the folder report/."""
    folders = [layout.evaluate(model) for model in job.models]
    inputs = [
        folder / name
        for folder in folders
        for name in ("metrics.csv", "items.npz", "coverage.csv", "posterior.npz")
    ]
    references = {layout.reference(model): None for model in job.models}
    counts = [reference / FAILURES for reference in references]
    written = ("summary.csv", "invariants.json", layout.report.name)
    with attempt(
        "report", job, code, layout, inputs=[*inputs, *counts], outputs=layout.root, parts=written
    ) as run:
        collected = summary.collect(folders)
        found = invariants.check(folders)
        layout.report.mkdir(parents=True, exist_ok=True)
        for path in figures.write_all(collected, folders, layout.report):
            run.artifact(path)
        table.write_html(collected, layout.report / "summary.html")
        summary.write(collected, layout.root / "summary.csv")
        summary.write(read_simulations(counts), layout.report / "simulations.csv")
        invariants.write(found, layout.root / "invariants.json")
        run.artifact(layout.root / "summary.csv")
        run.finished(
            {
                "report/models": len(folders),
                "report/invariants": len(found),
                "report/broken_invariants": sum(not one.holds for one in found),
            }
        )
