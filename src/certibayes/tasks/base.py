"""What a task is: a simulator with a prior, or a labelled data set."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.distributions import Distribution

from certibayes.config.tasks import TaskSpec
from certibayes.threat import Ball


class Task(ABC):
    """What both kinds share.

    Attributes:
        x_dim: features of one observation.
        clip: admissible range of x in raw units, or None.
    """

    x_dim: int
    clip: tuple[float, float] | None = None

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec


class PosteriorTask(Task):
    """A simulator: theta ~ prior, x ~ simulate(theta).

    Attributes:
        theta_dim: parameters.
        theta_names: one name per parameter.
        prior: distribution over theta with event shape (theta_dim,) and a `support`.
        rows_per_call: rows that one call of `simulate` gets from the workflow.
    """

    rows_per_call: int = 10_000

    theta_dim: int
    theta_names: tuple[str, ...]
    prior: Distribution

    @abstractmethod
    def sample_prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw theta, shape (n, theta_dim), float64, from the generator alone."""

    @abstractmethod
    def simulate(self, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Simulate x, shape (n, x_dim), float64; a failed simulation is a row with NaN.

        Args:
            theta: parameters, shape (n, theta_dim).
            generator: the only source of randomness.
        """

    def observed(self) -> Tensor | None:
        """Return real observations, shape (m, x_dim), or None."""
        return None

    def exact_posterior(self, x: Tensor) -> Distribution | None:
        """Return the exact posterior at x, batch shape (batch,), event (theta_dim,), or None."""
        return None

    def worst_case_shift(self, ball: Ball) -> tuple[float, float] | None:
        """Return the exact posterior's largest (total variation, KL) over a ball, or None."""
        return None

    def reference_moments(self) -> tuple[Tensor, Tensor] | None:
        """Return a sampler's mean and std of theta at the first real observation, or None.

        Each has shape (theta_dim,), float64.
        """
        return None


class ClassificationTask(Task):
    """A labelled data set with fixed training and test parts.

    Attributes:
        classes: number of labels.
    """

    classes: int

    @abstractmethod
    def training_set(self) -> tuple[Tensor, Tensor]:
        """Return labels y, shape (n,), int64, and x, shape (n, x_dim), float64, in fixed order."""

    @abstractmethod
    def test_set(self) -> tuple[Tensor, Tensor]:
        """Return labels y and x of the test part, as `training_set`."""
