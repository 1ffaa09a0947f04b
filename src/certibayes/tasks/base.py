"""What a task is: a simulator with a prior, or a labelled data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from certibayes.config.tasks import TaskSpec
from certibayes.tasks.traces import Traces
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

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what the task is built from: class and spec; a worker process builds it anew."""
        return type(self), (self.spec,)


@runtime_checkable
class Restorable(Protocol):
    """A task whose simulator needs weights that a rule of its own trained."""

    def restore(self, folder: Path) -> None:
        """Load the weights from the folder of that rule."""


class ThetaTask(Task):
    """A task whose theta is inferred from x; where its pairs come from, subclasses say.

    Attributes:
        theta_dim: parameters.
        theta_names: one name per parameter.
        x_names: one name per feature of x, for figures, or none.
    """

    theta_dim: int
    theta_names: tuple[str, ...]
    x_names: tuple[str, ...] = ()

    @property
    @abstractmethod
    def support(self) -> Constraint:
        """The set that theta lies in, with a bijection from R^theta_dim (`biject_to`)."""

    def observed(self) -> Tensor | None:
        """Return real observations, shape (m, x_dim), or None."""
        return None

    def observed_names(self) -> tuple[str, ...]:
        """Return one name per real observation, what was recorded, where or when; () = numbers."""
        return ()

    def recordings(self) -> Traces | None:
        """Return the series behind the real observations, first dimension m, or None."""
        return None

    def traces(self, theta: Tensor, observation: int, generator: torch.Generator) -> Traces | None:
        """Simulate the series that theta predicts for one real observation, or return None.

        Args:
            theta: parameters, shape (n, theta_dim).
            observation: which of the real observations.
            generator: the only source of randomness.
        """
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

    def findings(self) -> dict[str, str]:
        """Return what the task found out about itself; recorded with the task's run."""
        return {}


class PosteriorTask(ThetaTask):
    """A simulator: theta ~ prior, x ~ simulate(theta).

    Attributes:
        prior: distribution over theta with event shape (theta_dim,) and a `support`.
        rows_per_call: rows that one call of `simulate` gets from the workflow.
    """

    rows_per_call: int = 10_000

    prior: Distribution

    def prepare(self) -> None:
        """Find out what the first simulation needs to know; nothing for most tasks."""

    @property
    def support(self) -> Constraint:
        """The prior's support."""
        support = self.prior.support
        assert support is not None
        return support

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


class StoredPairs(ThetaTask):
    """Pairs that exist already, in fixed order; the last ones are the test pairs."""

    @abstractmethod
    def pairs(self, rows: slice) -> tuple[Tensor, Tensor]:
        """Return theta, shape (n, theta_dim), and x, shape (n, x_dim), float64.

        A failed simulation is a row of x with NaN or infinities.

        Args:
            rows: consecutive rows, the only ones to be loaded; those that do not exist are left
                out.
        """

    @abstractmethod
    def test_pairs(self) -> tuple[Tensor, Tensor]:
        """Return theta and x of the test pairs, as `pairs`."""


class ClassificationTask(Task):
    """A labelled data set with fixed training and test parts.

    Attributes:
        classes: number of labels.
    """

    classes: int

    @abstractmethod
    def training_set(self, rows: slice | None = None) -> tuple[Tensor, Tensor]:
        """Return labels y, shape (n,), int64, and x, shape (n, x_dim), float64, in fixed order.

        Args:
            rows: consecutive rows, the only ones to be loaded; None = all.
        """

    @abstractmethod
    def test_set(self, rows: slice | None = None) -> tuple[Tensor, Tensor]:
        """Return labels y and x of the test part, as `training_set`."""
