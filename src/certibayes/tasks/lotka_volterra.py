"""Lotka-Volterra from unit populations with latent rates: Gloeckler et al. (2023), 4 to 100."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from certibayes.config.tasks import TaskSpec
from certibayes.tasks.base import PosteriorTask
from certibayes.tasks.lotka_volterra_ode import log_populations

TIMES = 50
END = 20.0
PRIOR_STD = 0.5
NOISE_STD = 0.05


class LotkaVolterra(PosteriorTask):
    """Four latent rates of a predator-prey system from 50 noisy values of each population.

    theta ~ N(0, 0.5^2 I) is latent: (alpha, beta, gamma, delta) = exp(sigmoid(theta)), in (1, e).
    Prey u and predator v follow du/dt = (alpha - beta v) u and dv/dt = (delta u - gamma) v from
    u(0) = v(0) = 1; x = (u(t), v(t)) + 0.05 N(0, I) at 50 equally spaced t from 0 to 20, prey
    first. Source: Gloeckler, Deistler and Macke (2023).
    """

    theta_dim = 4
    x_dim = 2 * TIMES
    theta_names = ("latent_alpha", "latent_beta", "latent_gamma", "latent_delta")

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        zeros = torch.zeros(4, dtype=torch.float64)
        self.prior: Independent = Independent(Normal(zeros, zeros + PRIOR_STD), 1)

    def sample_prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw theta from the generator alone, shape (n, 4), float64."""
        return PRIOR_STD * torch.randn(n, 4, generator=generator, dtype=torch.float64)

    def populations(self, theta: Tensor) -> Tensor:
        """Return the noiseless populations, shape (n, 100); a failed solution is a row of NaN.

        Args:
            theta: latent parameters, shape (n, 4).
        """
        rates = theta.double().sigmoid().exp()
        times = torch.linspace(0, END, TIMES, dtype=torch.float64)
        return log_populations(rates, torch.ones_like(rates[:, :2]), times).exp().flatten(1)

    def simulate(self, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Simulate noisy populations, shape (n, 100), float64; a failed solution is a row of NaN.

        Args:
            theta: latent parameters, shape (n, 4).
            generator: the only source of randomness.
        """
        populations = self.populations(theta)
        noise = torch.randn(populations.shape, generator=generator, dtype=torch.float64)
        return populations + NOISE_STD * noise

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), a normal density around the solution, shape (n,).

        Args:
            theta: latent parameters, shape (n, 4); a failed solution yields NaN.
            x: populations, shape (n, 100) or (1, 100).
        """
        residual = x.double() - self.populations(theta)
        return Normal(0.0, NOISE_STD, validate_args=False).log_prob(residual).sum(1)
