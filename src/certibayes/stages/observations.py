"""The observations that attack, certify and evaluate share: test rows, then real recordings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.config.errors import ConfigError
from certibayes.config.jobs import ModelJob
from certibayes.config.threat import PerturbationAt
from certibayes.layout import Layout
from certibayes.stages.data import load_reference, load_scale
from certibayes.tasks.base import Task
from certibayes.threat import Ball, ThreatModel


@dataclass(frozen=True)
class Observations:
    """Attacked and certified observations, float64.

    Attributes:
        x: test observations, then the real ones, shape (n + m, x_dim).
        target: thetas or labels of the test observations, first dimension n.
    """

    x: Tensor
    target: Tensor

    @property
    def tests(self) -> int:
        """Number n of test observations; the real ones follow them."""
        return len(self.target)


def load_observations(layout: Layout, job: ModelJob, count: int) -> Observations:
    """Return the first `count` test observations and all real ones.

    Raises:
        ConfigError: if fewer test pairs of the task are valid.
    """
    reference = load_reference(layout, job)
    if len(reference.x) < count:
        raise ConfigError(
            f"evaluation.observations: got {count}; allowed: at most {len(reference.x)}, the test "
            f"pairs that are valid, unless tasks.{job.task}.test_pairs is more"
        )
    x = torch.cat([reference.x[:count], reference.observed])
    return Observations(x, reference.target[:count])


def ball_of(layout: Layout, job: ModelJob, task: Task, at: PerturbationAt) -> Ball:
    """Return the ball of one radius in the units of the job's task, with the task's clip range."""
    threat = ThreatModel(at.norm, at.epsilon, at.unit, task.clip)
    return threat.ball(load_scale(layout, job))
