"""Stage `retrain`: a model with the objective of a defense."""

from __future__ import annotations

from certibayes.config.defenses import NoDefense
from certibayes.config.jobs import ModelJob
from certibayes.layout import Layout
from certibayes.stages.fitting import fit_job


def run(job: ModelJob, layout: Layout, code: str) -> None:
    """Train the defended model, from the undefended one where the defense says so.

    Raises:
        ValueError: if the job names no defense.
    """
    spec = job.defense_spec
    if isinstance(spec, NoDefense):
        raise ValueError(f"defense: got {job.defense!r}; allowed: a defense other than none")
    undefended = job.model_copy(update={"defense": "none", "defense_spec": NoDefense()})
    base = layout.weights(undefended) if spec.warm_start else None
    fit_job("retrain", job, layout, code, base)
