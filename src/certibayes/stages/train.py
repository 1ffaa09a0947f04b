"""Stage `train`: a model with the plain log-likelihood."""

from __future__ import annotations

from certibayes.config.jobs import ModelJob
from certibayes.layout import Layout
from certibayes.stages.fitting import fit_job


def run(job: ModelJob, layout: Layout, code: str) -> None:
    """Train the undefended model."""
    fit_job("train", job, layout, code, base=None)
