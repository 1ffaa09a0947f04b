"""The error that ends a job when simulations fail more often than the task allows."""

from __future__ import annotations

from typing import Any

from certibayes.explained import ExplainedError


class SimulationError(ExplainedError, RuntimeError):
    """Too many simulations failed; the message says how many, why, and at which theta.

    Attributes:
        counts: failed rows so far as in `Tally.to_json`, or None if the simulator never ran.
    """

    def __init__(self, message: str, counts: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.counts = counts
