"""Simulators of the 2023 study (Gloeckler et al., 2023)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import StrictBool

from certibayes.config.base import PositiveInt
from certibayes.config.task_spec import SimulatorSpec


class GaussianLinear(SimulatorSpec):
    """x = A theta + 0.1 noise, 10 to 10 (the convention of Gloeckler et al., 2023)."""

    SHARD_SIZE: ClassVar[int] = 50_000
    kind: Literal["gaussian_linear"] = "gaussian_linear"
    test_pairs: PositiveInt = 20_000


class LotkaVolterra(SimulatorSpec):
    """Predator and prey from unit populations, 4 to 100 (Gloeckler et al., 2023)."""

    SHARD_SIZE: ClassVar[int] = 25_000
    kind: Literal["lotka_volterra"] = "lotka_volterra"
    test_pairs: PositiveInt = 10_000


class SIR(SimulatorSpec):
    """Infected of a well-mixed population over time, 2 to 50 (Gloeckler et al., 2023)."""

    SHARD_SIZE: ClassVar[int] = 25_000
    kind: Literal["sir"] = "sir"
    test_pairs: PositiveInt = 10_000


class SpatialSIR(SimulatorSpec):
    """An epidemic on a 30 x 30 grid, 2 to 900 (Gloeckler et al., 2023).

    Attributes:
        shared_fields: all simulations of the task share the same random fields: the published flaw,
            for comparison with published numbers; by default every simulation has its own.
    """

    SHARD_SIZE: ClassVar[int] = 5_000
    kind: Literal["spatial_sir"] = "spatial_sir"
    test_pairs: PositiveInt = 2_000
    shared_fields: StrictBool = False


class HodgkinHuxley(SimulatorSpec):
    """A current step into one neuron, 7 to 200 voltages in mV (Gloeckler et al., 2023).

    Attributes:
        capacitance: "divides" the currents, as in physics, or "multiplies" them: the published
            flaw, for comparison with published numbers.
    """

    SHARD_SIZE: ClassVar[int] = 10_000
    kind: Literal["hodgkin_huxley"] = "hodgkin_huxley"
    test_pairs: PositiveInt = 2_000
    capacitance: Literal["divides", "multiplies"] = "divides"


class Vae(SimulatorSpec):
    """Three latents through a decoder of MNIST, 3 to 784 pixels (Gloeckler et al., 2023).

    Attributes:
        epochs: passes over MNIST when the decoder is trained; few make another simulator, which
            is no longer the published one.
    """

    SHARD_SIZE: ClassVar[int] = 25_000
    needs_decoder: ClassVar[bool] = True
    kind: Literal["vae"] = "vae"
    test_pairs: PositiveInt = 2_000
    epochs: PositiveInt = 60
