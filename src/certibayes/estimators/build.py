"""Pick the estimator that a specification names."""

from __future__ import annotations

from certibayes import registry
from certibayes.config.models import AnyEstimator
from certibayes.estimators.base import Estimator
from certibayes.tasks.base import ThetaTask


def build_estimator(spec: AnyEstimator, task: ThetaTask, x_dim: int) -> Estimator:
    """Return an estimator of a task's theta with fresh weights from torch's global generator.

    Args:
        spec: kind and settings.
        task: whose theta is inferred.
        x_dim: features of x.
    """
    build = registry.load("estimator", spec.kind)
    estimator: Estimator = build(spec, task.theta_dim, x_dim, task.support)
    return estimator
