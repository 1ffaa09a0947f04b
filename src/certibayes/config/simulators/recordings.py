"""Simulators with real recordings as observed input."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import StrictBool

from certibayes.config.base import PositiveInt
from certibayes.config.task_spec import SimulatorSpec


class LynxHare(SimulatorSpec):
    """Lotka-Volterra with the Hudson's Bay pelt counts of 1900-1920 as observed input."""

    SHARD_SIZE: ClassVar[int] = 100_000
    kind: Literal["lynx_hare"] = "lynx_hare"
    test_pairs: PositiveInt = 2_000


class HodgkinHuxleyAllen(SimulatorSpec):
    """Eight parameters, seven statistics, ten recordings of the Allen Cell Types Database.

    (Goncalves et al., 2020.) Every recorded cell received its own current step.

    Attributes:
        cell: whose step, and whose voltage at its start, drive the simulator. A cell's id: always
            those of this cell, whose recording is the only observed one, as in the published work.
            None: those of one of the ten cells, drawn afresh for every simulation, so that all
            ten recordings are observed and the posterior is an average over the steps.
    """

    SHARD_SIZE: ClassVar[int] = 2_000
    kind: Literal["hodgkin_huxley_allen"] = "hodgkin_huxley_allen"
    test_pairs: PositiveInt = 1_000
    cell: (
        Literal[
            518290966,
            509881736,
            566517779,
            567399060,
            569469018,
            532571720,
            555060623,
            534524026,
            532355382,
            526950199,
        ]
        | None
    ) = None


class PyloricSpec(SimulatorSpec):
    """The three-cell network of Prinz, Bucher and Marder (2004).

    Attributes:
        substeps: solver steps per 0.025 ms, for which the noise current is constant; 1 is the
            published step.
    """

    substeps: PositiveInt = 1


class PyloricTraces(PyloricSpec):
    """Voltages of the crab's pyloric rhythm, 31 to 3 x 800 (Gloeckler et al., 2023).

    Attributes:
        published_selection: only networks whose three cells spike count as simulated, as in the
            published work; all others fail, so that `failures` then allows any share by default.
    """

    SHARD_SIZE: ClassVar[int] = 1_000
    kind: Literal["pyloric_traces"] = "pyloric_traces"
    test_pairs: PositiveInt = 500
    published_selection: StrictBool = False

    @classmethod
    def default_failures(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Return the keys of `failures` whose defaults are the task's own."""
        selected = values.get("published_selection") is True
        return super().default_failures(values) | ({"at_most": 1.0} if selected else {})


class PyloricSummary(PyloricSpec):
    """Statistics of the crab's pyloric rhythm, 31 to 18, with one real recording.

    (Goncalves et al., 2020.)

    Attributes:
        duration: "published" simulates 11 s per theta, "reduced" 4 s, for a small machine; the
            first second is dropped from both.
    """

    SHARD_SIZE: ClassVar[int] = 500
    kind: Literal["pyloric_summary"] = "pyloric_summary"
    test_pairs: PositiveInt = 500
    duration: Literal["published", "reduced"] = "published"
