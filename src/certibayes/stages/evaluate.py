"""Stage `evaluate`: one model with all its attacks and certificates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from certibayes.attempt import attempt
from certibayes.config.attacks import Search
from certibayes.config.jobs import EvaluateJob
from certibayes.io import read_json, save_arrays
from certibayes.layout import Layout
from certibayes.stages.attack_files import ATTACK_FILES, with_checks
from certibayes.stages.building import build_task, load_model, simulator_files
from certibayes.stages.data import load_scale
from certibayes.stages.evaluate_classifier import evaluate_classifier
from certibayes.stages.evaluate_metrics import clean_metrics, curves, headline_ball, latest
from certibayes.stages.evaluate_posterior import evaluate_posterior
from certibayes.stages.findings import Findings
from certibayes.writing import atomic


def run(job: EvaluateJob, layout: Layout, code: str) -> None:
    """Write metrics.csv, parameters.csv, coverage.csv, items.npz and posterior.npz of one model."""
    folder = layout.evaluate(job)
    with attempt("evaluate", job, code, layout, inputs=_inputs(job, layout), outputs=folder) as run:
        task = build_task(job)
        model = load_model(job, layout, task).double()
        evaluate = evaluate_posterior if job.model_spec.form == "posterior" else evaluate_classifier
        findings: Findings = evaluate(job, layout, task, model)
        manifest = read_json(layout.weights(job) / "manifest.json")
        active = load_scale(layout, job).active
        table = with_checks(findings.table(), job, layout).assign(
            features=len(active),
            inactive_features=int((~active).sum()),
            train_steps=manifest["steps"],
            train_seconds=manifest["seconds"],
        )
        _write_table(folder / "metrics.csv", table)
        _write_table(folder / "coverage.csv", findings.coverage_table())
        _write_table(folder / "parameters.csv", findings.parameter_table())
        save_arrays(folder / "items.npz", findings.items | {"meta": _meta(job)})
        save_arrays(folder / "posterior.npz", findings.posterior)
        for step, values in enumerate(curves(table)):
            run.metrics(values, step=step)
        run.params(headline_ball(table))
        run.finished(clean_metrics(table) | latest(curves(table)))


def _write_table(path: Path, table: pd.DataFrame) -> None:
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False)


def _inputs(job: EvaluateJob, layout: Layout) -> list[Path]:
    return [
        layout.weights(job) / "weights.safetensors",
        layout.reference(job) / "test.npz",
        *(layout.attack(job, name) / file for name in job.attacks for file in ATTACK_FILES),
        *(layout.certify(job, name) / "certificate.npz" for name in job.certificates),
        *simulator_files(job, layout),
    ]


def _meta(job: EvaluateJob) -> np.ndarray:
    """Describe every attack and certificate, JSON: what makes two of them comparable."""
    meta: dict[str, dict[str, Any]] = {
        name: {
            "kind": spec.kind,
            "norm": spec.perturbation.norm,
            "unit": spec.perturbation.unit,
            "clip": spec.perturbation.clip,
        }
        for name, spec in (job.attacks | job.certificates).items()
    }
    for name, spec in job.attacks.items():
        meta[name] |= {
            "objective": spec.objective,
            "points": spec.points if isinstance(spec, Search) else None,
            "selection_draws": spec.selection_draws,
            "mask": spec.mask,
        }
    return np.array(json.dumps(meta))
