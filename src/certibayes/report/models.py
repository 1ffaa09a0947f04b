"""models.json: what a study leaves for use, its final models with their certificates."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from certibayes.config.jobs import EvaluateJob
from certibayes.config.selection import BEST, Selection
from certibayes.io import MANIFEST, read_json, write_json
from certibayes.layout import Layout
from certibayes.report.selection import ModelKey, Standing, standings
from certibayes.served import registered_name


def write_models(
    models: Sequence[EvaluateJob], summary: pd.DataFrame, rule: Selection, layout: Layout
) -> None:
    """Write models.json: name, folder, weights, certificates and standing of every final model.

    Args:
        models: the evaluated models.
        summary: as `summary.collect` returns it.
        rule: by which the best of every task is chosen.
        layout: paths of the study.
    """
    parameters = {_key(job): _parameters(layout.evaluate(job)) for job in models}
    found = standings(summary, parameters, rule)
    entries = [_entry(job, found[_key(job)], layout) for job in models]
    write_json(layout.models, {"rule": rule.model_dump(mode="json"), "models": entries})


def _key(job: EvaluateJob) -> ModelKey:
    return (job.task, job.budget, job.model, job.defense, job.seed)


def _parameters(folder: Path) -> int:
    """Return the dimension of theta of an evaluated model; 1 for a classifier, without any."""
    return max(1, pd.read_csv(folder / "parameters.csv")["parameter"].nunique())


def _entry(job: EvaluateJob, standing: Standing, layout: Layout) -> dict[str, Any]:
    return {
        "name": registered_name(job.study, job.task, job.model, job.defense),
        "task": job.task,
        "budget": job.budget,
        "model": job.model,
        "defense": job.defense,
        "seed": job.seed,
        "folder": str(layout.model(job).relative_to(layout.root)),
        "sha256": read_json(layout.weights(job) / MANIFEST)["sha256"],
        "certificates": {
            name: spec.model_dump(mode="json") for name, spec in job.certificates.items()
        },
        "standing": asdict(standing),
    }


def render_best(content: Mapping[str, Any], compared: Collection[str]) -> str:
    """Return a line per task: its best model, why, and the name to load it by.

    Args:
        content: of models.json.
        compared: tasks whose models all stand in it; elsewhere it is the best of a part.
    """
    lines = []
    for entry in content["models"]:
        standing, task = entry["standing"], entry["task"]
        if standing["best"]:
            whole = task in compared
            named = f"registered as models:/{entry['name']}@{BEST}"
            part = f"of a part of the task's models, so the alias {BEST} stays where it is"
            lines.append(
                f"best model of {task}{'' if whole else ' in this part'}: {entry['folder']}\n"
                f"  {standing['criterion']}: {standing['value']:.4g}; keeps "
                f"{standing['share']:.2f} of the best fit; {named if whole else part}"
            )
    return "\n".join(lines) + "\n" if lines else ""
