"""Lotka-Volterra in the convention of sbibm, Lueckmann et al. (2021): 4 to 20."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Normal

from certibayes.config.tasks import TaskSpec
from certibayes.tasks.log_normal_prior import LogNormalPriorTask
from certibayes.tasks.lotka_volterra_ode import log_populations

TIMES = 10
SPACING = 2.1
INITIAL = (30.0, 1.0)
PRIOR_LOCATION = (-0.125, -3.0, -0.125, -3.0)
PRIOR_SCALE = (0.5, 0.5, 0.5, 0.5)
NOISE = 0.1
SMALLEST, LARGEST = 1e-10, 1e4


class LotkaVolterraSbibm(LogNormalPriorTask):
    """Four rates of a predator-prey system from ten noisy counts of each population.

    log theta ~ N((-0.125, -3, -0.125, -3), 0.5^2 I). Prey u and predator v follow
    du/dt = (alpha - beta v) u and dv/dt = (delta u - gamma) v from u(0) = 30, v(0) = 1;
    x ~ log-normal(log of (u(t), v(t)), 0.1) at t = 0, 2.1, ..., 18.9 days (every 21st of 201
    points), prey first; populations are clipped to [1e-10, 1e4] before the noise.
    Source: sbibm, Lueckmann et al. (2021).
    """

    theta_dim = 4
    x_dim = 2 * TIMES
    theta_names = ("alpha", "beta", "gamma", "delta")

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec, PRIOR_LOCATION, PRIOR_SCALE)

    def log_populations(self, theta: Tensor) -> Tensor:
        """Return clipped log populations without noise, shape (n, 20); a failed row is NaN.

        Args:
            theta: rates, shape (n, 4).
        """
        times = SPACING * torch.arange(TIMES, dtype=torch.float64)
        initial = torch.tensor([INITIAL], dtype=torch.float64).expand(len(theta), 2)
        solved = log_populations(theta.double(), initial, times).flatten(1)
        return solved.clamp(math.log(SMALLEST), math.log(LARGEST))

    def simulate(self, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Simulate noisy populations, shape (n, 20), float64, positive; a failed row is NaN.

        Args:
            theta: rates, shape (n, 4).
            generator: the only source of randomness.
        """
        center = self.log_populations(theta)
        noise = torch.randn(center.shape, generator=generator, dtype=torch.float64)
        return (center + NOISE * noise).exp()

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), a log-normal density, shape (n,); -inf where an x <= 0.

        Args:
            theta: rates, shape (n, 4); a failed solution yields NaN.
            x: populations, shape (n, 20) or (1, 20).
        """
        x = x.double()
        positive = x > 0
        log_x = torch.where(positive, x, 1.0).log()
        normal = Normal(self.log_populations(theta), NOISE, validate_args=False)
        return torch.where(positive, normal.log_prob(log_x) - log_x, -torch.inf).sum(1)
