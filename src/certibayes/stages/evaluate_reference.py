"""Distance between the model's posterior and reference posteriors of benchmark tasks."""

from __future__ import annotations

import torch

from certibayes.config.jobs import EvaluateJob
from certibayes.estimators.base import Estimator
from certibayes.metrics.c2st import c2st
from certibayes.metrics.mmd import squared_mmd
from certibayes.seeding import derive_seed, generator
from certibayes.stages.findings import Findings, Value
from certibayes.tasks.sbibm_reference import FOLDERS, reference_posteriors


@torch.no_grad()
def reference_columns(findings: Findings, job: EvaluateJob, model: Estimator) -> dict[str, Value]:
    """Return the columns on reference posteriors and add one item per reference observation.

    At each reference observation as many draws of the model as of the reference are compared by
    C2ST in the protocol of sbibm, and by MMD^2. Without reference posteriors
    `reference_observations` is 0 for a benchmark task, and no column is filled for any other.
    """
    kind = job.task_spec.kind
    if kind not in FOLDERS:
        return {}
    references = reference_posteriors(kind)
    if references is None:
        return {"reference_observations": 0}
    scores, distances = [], []
    for number, reference in enumerate(references, 1):
        samples = reference.samples[: job.evaluation.reference_draws]
        source = generator(job.study_seed, job.task, job.seed, "evaluate", "reference", number)
        draws = model(reference.x[None]).draw(len(samples), source)[:, 0]
        seed = derive_seed(job.study_seed, "reference", number)
        scores.append(c2st(samples, draws, seed, early_stopping=False))
        distances.append(squared_mmd(samples[:, None], draws[:, None]).mean)
    values = torch.tensor(scores, dtype=torch.float64)
    mmd = torch.cat(distances)
    findings.add_items("evaluate/reference", {"c2st": values, "mmd": mmd})
    return {
        "reference_observations": len(values),
        "reference_draws": len(samples),
        "reference_mmd": float(mmd.mean()),
        "reference_c2st": float(values.mean()),
        "reference_c2st_low": float(values.min()),
        "reference_c2st_high": float(values.max()),
    }
