"""Statistics of a pyloric rhythm, with a real recording: Goncalves et al. (2020), 31 to 18."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from torch import Tensor

from certibayes.config.simulators.recordings import PyloricSummary as PyloricSummarySpec
from certibayes.tasks.pyloric_network import CELLS, STEP
from certibayes.tasks.pyloric_rhythm import STATISTICS, statistics
from certibayes.tasks.pyloric_task import Floats, PyloricTask
from certibayes.tasks.traces import Traces

DURATIONS = {"published": 11_000.0, "reduced": 4_000.0}
DROPPED = 1_000.0
TRACE_EVERY = 20


class PyloricSummary(PyloricTask):
    """Conductances of three cells and seven synapses from eighteen statistics of their rhythm.

    The network is simulated for 11 s ("published") or 4 s ("reduced"); x are the statistics of
    `pyloric_rhythm`, in ms and in shares of the period, from all but the first second. An
    undefined statistic has the value that `pyloric_rhythm.STATISTICS` states, never NaN. The
    observed rhythm is a recording of a crab's stomatogastric ganglion. Source: Goncalves et al.
    (2020), network of Prinz, Bucher and Marder (2004).
    """

    x_dim = len(STATISTICS)

    def __init__(self, spec: PyloricSummarySpec) -> None:
        super().__init__(spec)
        self.duration = DURATIONS[spec.duration]

    def observations(self, theta: Tensor, generator: torch.Generator) -> Iterator[Floats | None]:
        """Yield the statistics of each row of theta, shape (18,); None if the solver failed."""
        for voltages in self.runs(theta, generator, self.duration, 1):
            settled = None if voltages is None else voltages[round(DROPPED / STEP) :]
            yield None if settled is None else statistics(settled, STEP)

    def observed(self) -> Tensor:
        """Return the statistics of the recorded crab, shape (1, 18), float64."""
        return torch.tensor([_stored()["statistics"]], dtype=torch.float64)

    def observed_names(self) -> tuple[str, ...]:
        """Return the identifier of the preparation."""
        return (str(_stored()["preparation"]),)

    def traces(self, theta: Tensor, observation: int, generator: torch.Generator) -> Traces:
        """Simulate voltages in mV, one every 0.5 ms, from 1 s to 4 s, shape (n, 3, points).

        A simulation that diverged is NaN.
        """
        duration = DURATIONS["reduced"]
        points = round(duration / STEP) // TRACE_EVERY
        values = np.full((len(theta), points, len(CELLS)), np.nan)
        for row, found in enumerate(self.runs(theta, generator, duration, TRACE_EVERY)):
            if found is not None:
                values[row] = found
        times: Floats = STEP * TRACE_EVERY * np.arange(1.0, points + 1)
        kept = times > DROPPED
        labels = tuple(f"{cell} (mV)" for cell in CELLS)
        return Traces(times[kept], values[:, kept].transpose(0, 2, 1), "time (ms)", labels)


def defined(x: Tensor) -> Tensor:
    """Return which statistics are defined, shape (*, 18) to (*, 18), bool."""
    undefined = torch.tensor([each.undefined for each in STATISTICS]).to(x)
    return x != undefined


def _stored() -> dict[str, Any]:
    source = files("certibayes").joinpath("tasks", "pyloric_summary.json")
    stored: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
    return stored
