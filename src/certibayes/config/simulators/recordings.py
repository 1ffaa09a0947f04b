"""Simulators with real recordings as observed input."""

from __future__ import annotations

from typing import ClassVar, Literal

from certibayes.config.base import PositiveInt
from certibayes.config.task_spec import SimulatorSpec


class LynxHare(SimulatorSpec):
    """Lotka-Volterra with the Hudson's Bay pelt counts of 1900-1920 as observed input."""

    SHARD_SIZE: ClassVar[int] = 100_000
    kind: Literal["lynx_hare"] = "lynx_hare"
    test_pairs: PositiveInt = 2_000


class HodgkinHuxleyAllen(SimulatorSpec):
    """Eight parameters, seven statistics, ten recordings of the Allen Cell Types Database.

    (Goncalves et al., 2020.)
    """

    SHARD_SIZE: ClassVar[int] = 2_000
    kind: Literal["hodgkin_huxley_allen"] = "hodgkin_huxley_allen"
    test_pairs: PositiveInt = 1_000


class PyloricTraces(SimulatorSpec):
    """Voltages of the crab's pyloric rhythm, 31 to 3 x 800 (Gloeckler et al., 2023)."""

    SHARD_SIZE: ClassVar[int] = 500
    kind: Literal["pyloric_traces"] = "pyloric_traces"
    test_pairs: PositiveInt = 500


class PyloricSummary(SimulatorSpec):
    """Statistics of the crab's pyloric rhythm, 31 to 18, with one real recording.

    (Goncalves et al., 2020.)
    """

    SHARD_SIZE: ClassVar[int] = 500
    kind: Literal["pyloric_summary"] = "pyloric_summary"
    test_pairs: PositiveInt = 500
