"""A current step into one neuron: Gloeckler et al. (2023), 7 parameters to 200 voltages."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Normal

from certibayes.config.simulators.gloeckler2023 import HodgkinHuxley as HodgkinHuxleySpec
from certibayes.tasks.base import PosteriorTask
from certibayes.tasks.hodgkin_huxley_ode import STATES, solve
from certibayes.tasks.uniform_prior import UniformPrior

POINTS = 200
END = 60.0
STEP = (10.0, 50.0)
CURRENT = 5e-4 / (math.pi * 70e-4**2)
INITIAL = -70.0
G_LEAK = 0.1
THRESHOLD = -60.0
TAU_MAX = 600.0
NOISE_STD = 0.5
LOWER = (1.0, 1e-4, 1e-4, 0.9, -80.0, 10.0, -120.0)
UPPER = (100.0, 5.0, 0.5, 1.2, -50.0, 80.0, -90.0)


class HodgkinHuxley(PosteriorTask):
    """Conductances, capacitance and reversal potentials from 200 noisy voltages in mV.

    theta = (g_Na, g_K, g_M, C, E_leak, E_Na, E_K) is uniform, in mS/cm^2, uF/cm^2 and mV. The
    cell of `hodgkin_huxley_ode.solve` with g_leak = 0.1 mS/cm^2, V_T = -60 mV, tau_max = 600 ms
    starts in the steady state of -70 mV; a current of 5e-4 uA per pi (70e-4)^2 cm^2 flows from 10
    to 50 ms. x = V(t) + 0.5 N(0, I) at 200 equally spaced t from 0 to 60 ms. The membrane divides
    its currents by C; in the published variant it multiplies them by C. Source: Gloeckler,
    Deistler and Macke (2023); kinetics of Pospischil et al. (2008).
    """

    rows_per_call = 1_000
    theta_dim = 7
    x_dim = POINTS
    theta_names = ("g_Na", "g_K", "g_M", "C", "E_leak", "E_Na", "E_K")

    def __init__(self, spec: HodgkinHuxleySpec) -> None:
        super().__init__(spec)
        self.prior: UniformPrior = UniformPrior(LOWER, UPPER)
        self.multiplies = spec.capacitance == "multiplies"

    def sample_prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw theta from the generator alone, shape (n, 7), float64."""
        return self.prior.draw(n, generator)

    def states(self, theta: Tensor) -> Tensor:
        """Return noiseless V, m, h, n, p, shape (n, 5, 200); a failed solution is NaN throughout.

        Args:
            theta: parameters, shape (n, 7).
        """
        g_na, g_k, g_m, capacitance, e_leak, e_na, e_k = theta.detach().double().numpy().T
        cells = np.empty((len(theta), 10))
        cells[:, :3] = np.stack((g_na, g_k, g_m), 1)
        cells[:, 3] = G_LEAK
        cells[:, 4:7] = np.stack((e_na, e_k, e_leak), 1)
        cells[:, 7:9] = THRESHOLD, TAU_MAX
        cells[:, 9] = capacitance if self.multiplies else 1 / capacitance
        edges = np.array([0.0, *STEP, END])
        currents = np.array([0.0, CURRENT, 0.0])
        times = np.linspace(0, END, POINTS)
        paths = torch.from_numpy(solve(cells, INITIAL, edges, currents, times))
        return paths.view(-1, STATES, POINTS)

    def voltages(self, theta: Tensor) -> Tensor:
        """Return the noiseless voltages in mV, shape (n, 200); a failed solution is a row of NaN.

        Args:
            theta: parameters, shape (n, 7).
        """
        return self.states(theta)[:, 0]

    def simulate(self, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Simulate noisy voltages, shape (n, 200), float64; a failed solution is a row of NaN.

        Args:
            theta: parameters, shape (n, 7).
            generator: the only source of randomness.
        """
        voltages = self.voltages(theta)
        noise = torch.randn(voltages.shape, generator=generator, dtype=torch.float64)
        return voltages + NOISE_STD * noise

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), a normal density around the solution, shape (n,).

        Args:
            theta: parameters, shape (n, 7); a failed solution yields NaN.
            x: voltages, shape (n, 200) or (1, 200).
        """
        residual = x.double() - self.voltages(theta)
        return Normal(0.0, NOISE_STD, validate_args=False).log_prob(residual).sum(1)
