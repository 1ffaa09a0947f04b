"""Many simulations in chunks; a chunk that fails as a whole is repeated row by row, each once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor

from certibayes.config.task_spec import Failures
from certibayes.seeding import derive_seed
from certibayes.simulation.call import FailedCall, call
from certibayes.simulation.first_exception import FirstException
from certibayes.simulation.policy import Simulated, count_not_finite, settle
from certibayes.simulation.progress import Progress
from certibayes.simulation.tally import Tally
from certibayes.simulation.worker import Worker
from certibayes.tasks.base import PosteriorTask

Call = Callable[[Tensor, int], Tensor | FailedCall]


def simulate_rows(
    task: PosteriorTask,
    theta: Tensor,
    name: str,
    seeds: tuple[object, ...],
    failures: Failures,
    progress: Progress,
    explain: FirstException,
) -> Simulated:
    """Simulate x for every theta in calls of at most `task.rows_per_call` rows.

    Each call draws from its own seed, `derive_seed(*seeds, first row)`, so that no row depends on
    what becomes of the rows in other calls. A call that raises, returns the wrong shape, takes
    longer than the limit or kills its process is repeated row by row, each row once, with a seed of
    its own, `derive_seed(*seeds, row, "alone")`. So a batched simulator that raises for a random
    event anywhere in the batch is counted per row, at its rate for a single row; since calls
    without the event are kept, events rarer than one per call are counted too rarely. A call with
    h rows that hang costs 1 + h time limits. A row fails besides if a value is NaN or not finite
    as float32, the precision of training.

    Args:
        task: the simulator.
        theta: parameters, shape (rows, theta_dim).
        name: of the task in the study.
        seeds: what the seeds derive from: study seed, task, purpose, shard.
        failures: what becomes of failed rows; a time limit moves calls to a worker process.
        progress: is told how far it is; its label names these simulations in messages.
        explain: logs the job's first exception.

    Raises:
        SimulationError: if more rows fail than allowed.
    """
    tally = Tally(progress.label, name, len(theta), failures)
    with ExitStack() as stack:
        once: Call = partial(call, task)
        if failures.time_limit is not None:
            once = stack.enter_context(Worker(task, failures.time_limit, progress.tick))
        simulation = _Simulation(task, theta, seeds, once, tally, progress, explain)
        for first in range(0, len(theta), task.rows_per_call):
            simulation.run(first, min(first + task.rows_per_call, len(theta)))
    return settle(simulation.x, tally)


class _Simulation:
    """x so far, shape (rows, x_dim), NaN where there is none."""

    def __init__(
        self,
        task: PosteriorTask,
        theta: Tensor,
        seeds: tuple[object, ...],
        once: Call,
        tally: Tally,
        progress: Progress,
        explain: FirstException,
    ) -> None:
        self.task, self.theta, self.seeds = task, theta, seeds
        self.once, self.tally, self.progress = once, tally, progress
        self.explain = explain
        self.x = torch.full((len(theta), task.x_dim), torch.nan, dtype=torch.float64)

    def run(self, first: int, last: int) -> None:
        """Simulate the rows from `first` up to `last`; one by one if they fail as a whole."""
        outcome = self._call(first, last, derive_seed(*self.seeds, first))
        if not isinstance(outcome, FailedCall):
            self._take(first, last, outcome)
        elif last - first == 1:
            self._reject(first, outcome)
        else:
            for row in range(first, last):
                alone = self._call(row, row + 1, derive_seed(*self.seeds, row, "alone"))
                if isinstance(alone, FailedCall):
                    self._reject(row, alone)
                else:
                    self._take(row, row + 1, alone)

    def _call(self, first: int, last: int, seed: int) -> Tensor | FailedCall:
        outcome = self.once(self.theta[first:last], seed)
        if isinstance(outcome, FailedCall):
            self.explain(self.tally.label, outcome)
            self.progress.tick()
        return outcome

    def _take(self, first: int, last: int, x: Tensor) -> None:
        self.x[first:last] = x
        count_not_finite(self.tally, first, self.theta[first:last], x, self.task.theta_names)
        self._done(last)

    def _reject(self, row: int, failed: FailedCall) -> None:
        theta = self.theta[row].tolist()
        self.tally.add(row, failed.reason, failed.detail, self.task.theta_names, theta)
        self._done(row + 1)

    def _done(self, last: int) -> None:
        self.tally.check(last)
        self.progress.update(last, self.tally.failed)
