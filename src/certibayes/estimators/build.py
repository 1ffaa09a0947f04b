"""Pick the estimator that a specification names."""

from __future__ import annotations

from certibayes import registry
from certibayes.config.models import AnyEstimator
from certibayes.estimators.base import Estimator
from certibayes.tasks.base import PosteriorTask


def build_estimator(spec: AnyEstimator, task: PosteriorTask) -> Estimator:
    """Return an estimator of a task's theta with fresh weights from torch's global generator."""
    build = registry.load("estimator", spec.kind)
    estimator: Estimator = build(spec, task.theta_dim, task.x_dim, task.prior.support)
    return estimator
