"""The observations that attack, certify and evaluate share: test rows, then real recordings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.config.errors import ConfigError
from certibayes.config.jobs import ModelJob
from certibayes.config.threat import Clip, PerturbationAt
from certibayes.layout import Layout
from certibayes.stages.data import load_data_range, load_reference, load_scale
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

    @property
    def truth(self) -> Tensor:
        """Labels or true thetas, first dimension n + m; NaN for the m real observations."""
        unknown = len(self.x) - self.tests
        if unknown == 0:
            return self.target
        nothing = self.target.new_full((unknown, *self.target.shape[1:]), torch.nan)
        return torch.cat([self.target, nothing])


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
    """Return the ball of one radius in the units of the job's task, with its clip range."""
    clip = clip_range(layout, job, task, at.clip)
    threat = ThreatModel(at.norm, at.epsilon, at.unit, clip)
    return threat.ball(load_scale(layout, job))


def clip_range(
    layout: Layout, job: ModelJob, task: Task, stated: Clip | None
) -> tuple[float, float] | None:
    """Return the range of x' that a perturbation states, within the task's own; None = no range."""
    if stated is None:
        return task.clip
    low, high = load_data_range(layout, job) if stated == "data_range" else stated
    if task.clip is None:
        return low, high
    return max(low, task.clip[0]), min(high, task.clip[1])
