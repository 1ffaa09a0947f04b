"""One neuron with real recordings as observed input: Goncalves et al. (2020), 8 to 7."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from certibayes.config.simulators.recordings import HodgkinHuxleyAllen as HodgkinHuxleyAllenSpec
from certibayes.tasks.base import PosteriorTask
from certibayes.tasks.hodgkin_huxley_noisy import STEP, Stimulus, gate_tables, integrate
from certibayes.tasks.hodgkin_huxley_recordings import (
    OFF,
    ON,
    SAMPLES,
    Recording,
    read_recordings,
    read_voltages,
)
from certibayes.tasks.hodgkin_huxley_statistics import NAMES, statistics
from certibayes.tasks.traces import Traces
from certibayes.tasks.uniform_prior import UniformPrior

LOWER = (0.5, 1e-4, 1e-4, 1e-4, 50.0, 40.0, 1e-4, 35.0)
UPPER = (80.0, 15.0, 0.6, 0.6, 3000.0, 90.0, 0.15, 100.0)


class HodgkinHuxleyAllen(PosteriorTask):
    """Conductances, kinetics, leak and noise from seven statistics of a recorded voltage.

    theta = (g_Na, g_K, g_leak, g_M, tau_max, -V_T, noise, -E_leak) is uniform, in mS/cm^2, ms, mV
    and uA sqrt(ms)/cm^2; the signs make every entry positive. The cell of
    `hodgkin_huxley_noisy.integrate`, with E_Na = 53 mV, E_K = -107 mV and C = 1 uF/cm^2, is
    simulated for 1450 ms, with a current step from 205 ms to 1205 ms; x are the seven numbers of
    `hodgkin_huxley_statistics`, all defined, because the noise is never 0. The recorded cells
    differ in the current per area (0.85 to 2.3 uA/cm^2) and in the voltage at the start, on which
    the specification's `cell` decides. Source of the model, the prior and the statistics:
    Goncalves et al. (2020); recordings: Allen Cell Types Database.
    """

    rows_per_call = 500
    theta_dim = 8
    x_dim = len(NAMES)
    theta_names = (
        *("g_Na", "g_K", "g_leak", "g_M"),
        *("tau_max", "minus_V_T", "noise", "minus_E_leak"),
    )
    x_names = NAMES

    def __init__(self, spec: HodgkinHuxleyAllenSpec) -> None:
        super().__init__(spec)
        self.prior: UniformPrior = UniformPrior(LOWER, UPPER)
        self._recordings: tuple[Recording, ...] = tuple(
            one for one in read_recordings() if spec.cell in (None, one.cell)
        )
        self._stimuli = [
            Stimulus(one.initial_mV, one.current_uA_per_cm2, ON, OFF, SAMPLES)
            for one in self._recordings
        ]

    @cached_property
    def _table(self) -> NDArray[np.float64]:
        return gate_tables()

    def sample_prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw theta from the generator alone, shape (n, 8), float64."""
        return self.prior.draw(n, generator)

    def simulate(self, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Simulate statistics, shape (n, 7), float64; a diverged simulation is a row of NaN.

        Args:
            theta: parameters, shape (n, 8).
            generator: the only source of randomness.
        """
        x = torch.empty(len(theta), self.x_dim, dtype=torch.float64)
        for row, parameters in enumerate(theta.detach().double().numpy()):
            drawn = int(torch.randint(len(self._stimuli), (), generator=generator))
            voltage = self._voltage(parameters, self._stimuli[drawn], generator)
            x[row] = torch.from_numpy(statistics(voltage, STEP, ON, OFF))
        return x

    def _voltage(
        self, parameters: NDArray[np.float64], stimulus: Stimulus, generator: torch.Generator
    ) -> NDArray[np.float64]:
        noise = torch.randn(SAMPLES - 1, generator=generator)
        return integrate(parameters, stimulus, noise.numpy(), self._table)

    def observed(self) -> Tensor:
        """Return the statistics of the recordings, shape (10, 7) or (1, 7), float64."""
        rows = [one.statistics for one in self._recordings]
        return torch.tensor(rows, dtype=torch.float64)

    def observed_names(self) -> tuple[str, ...]:
        """Return the identifiers of the cells."""
        return tuple(f"cell {one.cell}" for one in self._recordings)

    def recordings(self) -> Traces | None:
        """Return the recorded voltages in mV, or None if the data root does not hold them."""
        voltages = read_voltages(tuple(one.cell for one in self._recordings))
        return None if voltages is None else _traces(voltages)

    def traces(self, theta: Tensor, observation: int, generator: torch.Generator) -> Traces:
        """Simulate voltages in mV under the current and from the start of one recorded cell."""
        voltages = [
            self._voltage(parameters, self._stimuli[observation], generator)
            for parameters in theta.detach().double().numpy()
        ]
        return _traces(np.stack(voltages))


def _traces(voltages: NDArray[np.float64]) -> Traces:
    times: NDArray[np.float64] = STEP * np.arange(voltages.shape[1], dtype=np.float64)
    return Traces(times, voltages[:, None], "time (ms)", ("V (mV)",))
