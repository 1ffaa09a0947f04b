"""Draws of a simulator's prior with their simulations, each purpose with seeds of its own."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from certibayes.attempt import Attempt
from certibayes.config.jobs import Job
from certibayes.config.task_spec import Failures, SimulatorSpec
from certibayes.seeding import generator
from certibayes.simulation.error import SimulationError
from certibayes.simulation.first_exception import FirstException
from certibayes.simulation.policy import Simulated, screen
from certibayes.simulation.progress import Progress
from certibayes.simulation.rows import simulate_rows
from certibayes.simulation.tally import Tally
from certibayes.stages.failures import metrics_of
from certibayes.tasks.base import PosteriorTask, StoredPairs

log = logging.getLogger(__name__)
Purpose = Literal["shard", "test", "units"]
LABELS: dict[Purpose, str] = {
    "shard": "shard {shard} of {task}",
    "test": "test pairs of {task}",
    "units": "unit draws of {task}",
}
STEMS: dict[Purpose, str] = {
    "shard": "simulate/failed",
    "test": "simulate/test_failed",
    "units": "simulate/units_failed",
}
MOST_DRAWS = 1_000
"""Draws per valid row that is wanted, after which a test set is given up."""


class Draws:
    """The simulations of one job; counts of what failed go to its run if there are too many."""

    def __init__(self, job: Job, run: Attempt) -> None:
        assert isinstance(job.task_spec, SimulatorSpec)
        self.job, self.run = job, run
        self.failures = job.task_spec.failures
        self._explain = FirstException()

    def draw(
        self, task: PosteriorTask, rows: int, purpose: Purpose, shard: int = 0
    ) -> tuple[Tensor, Simulated]:
        """Return theta, shape (rows, theta_dim), and its simulations.

        Raises:
            SimulationError: if more simulations fail than the task allows.
            Interrupted: if SIGTERM arrives.
        """
        with self._counted(purpose):
            theta, drawn = self._draw(task, rows, purpose, shard, self.failures)
        log.info("%s", self._said(drawn.tally))
        return theta, drawn

    def draw_valid(
        self, task: PosteriorTask, rows: int, purpose: Purpose
    ) -> tuple[Tensor, Tensor, dict[str, Any]]:
        """Draw until `rows` simulations are valid; return theta, x and the counts of all draws.

        Further draws have seeds of their own, `shard` = 1, 2, ..., and count among the failures,
        of which `at_most` of all draws may fail.

        Raises:
            SimulationError: if more simulations fail than the task allows, or so many that
                1,000 draws per row do not suffice.
            Interrupted: if SIGTERM arrives.
        """
        with self._counted(purpose):
            theta, drawn = self._draw(task, rows, purpose, 0, self.failures)
            thetas, xs = [theta[drawn.valid]], [drawn.x[drawn.valid]]
            tally, missing, part = drawn.tally, rows - int(drawn.valid.sum()), 0
            without_limit = self.failures.model_copy(update={"at_most": 1.0})
            while missing > 0:
                if tally.rows >= MOST_DRAWS * rows:
                    raise SimulationError(
                        f"{tally.label}: {tally.summary(tally.rows)}, {missing} are missing; "
                        f"allowed: tasks.{self.job.task}.test_pairs = {rows} valid ones among "
                        f"{MOST_DRAWS * rows} draws",
                        tally.to_json(),
                    )
                part += 1
                found = max(1, rows - missing)
                wanted = min(rows, math.ceil(missing * tally.rows / found))
                theta, drawn = self._draw(task, wanted, purpose, part, without_limit)
                thetas.append(theta[drawn.valid])
                xs.append(drawn.x[drawn.valid])
                tally.absorb(drawn.tally)
                tally.check(tally.rows)
                missing -= int(drawn.valid.sum())
        log.info("%s", self._said(tally))
        return torch.cat(thetas)[:rows], torch.cat(xs)[:rows], tally.to_json()

    def _draw(
        self, task: PosteriorTask, rows: int, purpose: Purpose, shard: int, failures: Failures
    ) -> tuple[Tensor, Simulated]:
        job = self.job
        seeds = (job.study_seed, job.task, purpose, shard)
        theta = task.sample_prior(rows, generator(*seeds, "theta"))
        label = LABELS[purpose].format(shard=shard, task=job.task)
        progress = Progress(label, rows, self.run.stop_if_asked)
        return theta, simulate_rows(task, theta, job.task, seeds, failures, progress, self._explain)

    def stored(self, task: StoredPairs, rows: slice, label: str) -> tuple[Tensor, Simulated]:
        """Return theta and x of pairs that exist already, under the same policy as simulations.

        Raises:
            SimulationError: if more of these pairs failed than the task allows.
        """
        return self._screened(task, task.pairs(rows), label, "shard")

    def stored_test(self, task: StoredPairs) -> tuple[Tensor, Simulated]:
        """Return the test pairs of pairs that exist already, as `stored`."""
        label = LABELS["test"].format(task=self.job.task)
        return self._screened(task, task.test_pairs(), label, "test")

    def _screened(
        self, task: StoredPairs, pairs: tuple[Tensor, Tensor], label: str, purpose: Purpose
    ) -> tuple[Tensor, Simulated]:
        theta, x = pairs
        with self._counted(purpose):
            screened = screen(
                theta, x.clone(), task.theta_names, self.job.task, self.failures, label
            )
        log.info("%s", self._said(screened.tally))
        return theta, screened

    def _said(self, tally: Tally) -> str:
        return f"{tally.label}: {tally.summary(tally.rows)}, policy {self.failures.policy}"

    @contextmanager
    def _counted(self, purpose: Purpose) -> Iterator[None]:
        """Leave the counts of too many failures in a run, also of a job that has none of its own.

        Raises:
            TrackingError: if tracking is strict and the store fails.
        """
        try:
            yield
        except SimulationError as error:
            if error.counts is not None:
                self.run.metrics(metrics_of(error.counts, STEMS[purpose]))
            self.run.track()
            raise
