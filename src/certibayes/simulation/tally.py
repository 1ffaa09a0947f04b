"""Counts of failed simulations by reason, and the limit at which a task stops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from certibayes.config.task_spec import Failures
from certibayes.simulation.error import SimulationError

Reason = Literal["nan", "infinite", "exception", "wrong_shape", "time_limit", "died"]
REASONS: tuple[Reason, ...] = get_args(Reason)
EXAMPLES = 3


@dataclass(frozen=True)
class Failure:
    """One simulation that failed.

    Attributes:
        row: of the draws that were asked for.
        reason: why.
        detail: one line for people.
        theta: value by name of the parameter.
    """

    row: int
    reason: Reason
    detail: str
    theta: dict[str, float]

    def __str__(self) -> str:
        theta = ", ".join(f"{name} = {value:.6g}" for name, value in self.theta.items())
        return f"row {self.row}, {self.reason.replace('_', ' ')} ({self.detail}): {theta}"


@dataclass
class Tally:
    """What failed among `rows` simulations.

    Attributes:
        label: which simulations, e.g. "shard 3 of sir".
        task: name of the task in the study.
        rows: simulations asked for.
        policy: what becomes of those that fail.
        counts: failed rows by reason.
        examples: the first three.
    """

    label: str
    task: str
    rows: int
    policy: Failures
    counts: dict[Reason, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    examples: list[Failure] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """Failed rows."""
        return sum(self.counts.values())

    @property
    def allowed(self) -> int:
        """Rows that may fail: `at_most` of all; with policy "error" none."""
        share = 0.0 if self.policy.policy == "error" else self.policy.at_most
        return math.floor(share * self.rows + 1e-9)

    def add(
        self, row: int, reason: Reason, detail: str, names: Sequence[str], theta: Sequence[float]
    ) -> None:
        """Count one failed row; its theta is kept if it is among the first three."""
        self.counts[reason] += 1
        if len(self.examples) < EXAMPLES:
            values = dict(zip(names, theta, strict=True))
            self.examples.append(Failure(row, reason, detail, values))

    def absorb(self, other: Tally) -> None:
        """Add the counts of further simulations, whose rows follow these."""
        for reason, count in other.counts.items():
            self.counts[reason] += count
        later = [replace(one, row=self.rows + one.row) for one in other.examples]
        self.examples = (self.examples + later)[:EXAMPLES]
        self.rows += other.rows

    def check(self, done: int) -> None:
        """Stop as soon as it is certain that too many fail; before the end, with three to show.

        Args:
            done: rows simulated so far.

        Raises:
            SimulationError: if more rows failed than are allowed.
        """
        if self.failed <= self.allowed:
            return
        to_show = 1 if self.policy.policy == "error" else EXAMPLES
        if self.failed >= to_show or done >= self.rows:
            raise SimulationError(self._message(done), self.to_json())

    def _message(self, done: int) -> str:
        key = f"tasks.{self.task}.failures"
        limit = f"{self.allowed} of {self.rows} ({key}.at_most = {self.policy.at_most:g})"
        if self.policy.policy == "error":
            limit = f"none ({key}.policy = error)"
        lines = [
            f"{self.label}: {self.summary(done)}",
            f"allowed to fail: {limit}",
            *(f"  {example}" for example in self.examples),
        ]
        return "\n".join(lines)

    def summary(self, done: int) -> str:
        """Return one line: how many of the `done` rows failed, by reason."""
        parts = [f"{n} {reason.replace('_', ' ')}" for reason, n in self.counts.items() if n]
        by_reason = f" ({', '.join(parts)})" if parts else ""
        return f"{self.failed} of {done} simulations failed{by_reason}"

    def to_json(self) -> dict[str, Any]:
        """Return rows, failed, counts by reason and the examples as plain values."""
        return {
            "rows": self.rows,
            "failed": self.failed,
            "by_reason": dict(self.counts),
            "examples": [vars(example) for example in self.examples],
        }
