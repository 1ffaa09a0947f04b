"""The model, the observations and the targets that a certificate speaks of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from certibayes.config.certificates import (
    Certificate,
    Coverage,
    Decision,
    LogDensity,
    PosteriorDecision,
    ProbabilisticSafety,
)
from certibayes.config.errors import ConfigError
from certibayes.config.jobs import ModelJob
from certibayes.layout import Layout
from certibayes.seeding import derive_seed
from certibayes.stages.building import draw_model, load_model, mean_field_model
from certibayes.stages.observations import Observations
from certibayes.tasks.base import Task


def seed_of(job: ModelJob) -> int:
    """Return the seed of all draws of a model's certificates."""
    return derive_seed(job.study_seed, job.task, job.seed, "certify")


def model_of(spec: Certificate, job: ModelJob, layout: Layout, task: Task) -> nn.Module:
    """Return the model that a certificate speaks of, float64: stored, drawn afresh, or whole."""
    if isinstance(spec, PosteriorDecision):
        return draw_model(job, layout, task, spec.draws, seed_of(job)).double()
    if isinstance(spec, ProbabilisticSafety):
        return mean_field_model(job, layout, task).double()
    return load_model(job, layout, task).double()


def rows_of(spec: Certificate, x: Tensor, tests: int) -> Tensor:
    """Return the rows of x that a certificate speaks of; x holds test rows, then real ones.

    `coverage` needs true thetas and leaves real observations out; `log_density` repeats each of
    them for every stated theta.

    Args:
        spec: the certificate.
        x: shape (n + m, x_dim).
        tests: n.
    """
    if isinstance(spec, Coverage):
        return x[:tests]
    if isinstance(spec, LogDensity):
        return torch.cat([x[:tests], x[tests:].repeat_interleave(len(spec.thetas), 0)])
    return x


def targets_of(spec: Certificate, observations: Observations) -> Tensor | None:
    """Return labels or thetas of the rows of `rows_of`; None where there is nothing to pair.

    Raises:
        ConfigError: if a stated theta has not as many entries as the task has parameters.
    """
    target = observations.target
    if isinstance(spec, Decision | PosteriorDecision | ProbabilisticSafety | Coverage):
        return target
    if not isinstance(spec, LogDensity):
        return None
    wrong = [list(theta) for theta in spec.thetas if len(theta) != target.shape[1]]
    if wrong:
        raise ConfigError(f"thetas: got {wrong[0]}; allowed: {target.shape[1]} numbers each")
    stated = target.new_tensor(spec.thetas).view(len(spec.thetas), target.shape[1])
    real = len(observations.x) - observations.tests
    return torch.cat([target, stated.repeat(real, 1)])
