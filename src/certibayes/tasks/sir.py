"""An epidemic in a well-mixed population: the SIR task of Gloeckler et al. (2023), 2 to 50."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Independent, LogNormal, Normal

from certibayes.config.tasks import TaskSpec
from certibayes.tasks.base import PosteriorTask
from certibayes.tasks.lotka_volterra_ode import log_populations

TIMES = 50
END = 50.0
POPULATION = 5.0
SUSCEPTIBLE_0 = 5.0
INFECTED_0 = 0.25
PRIOR_STD = 2.0
OFFSET = 1e-4
NOISE_STD = 0.2


class SIR(PosteriorTask):
    """Contact and recovery rate of an epidemic from 50 noisy numbers of infected.

    theta ~ N(0, 2^2 I) is latent: (beta, gamma) = sigmoid(theta). With N = 5,
    dS/dt = -beta S I / N and dI/dt = beta S I / N - gamma I from S(0) = 5 (N itself, as published)
    and I(0) = 0.25; x ~ log-normal(log(I(t) + 1e-4), 0.2) at 50 equally spaced t from 0 to 50.
    Source: Gloeckler, Deistler and Macke (2023).
    """

    theta_dim = 2
    x_dim = TIMES
    theta_names = ("logit_beta", "logit_gamma")

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        zeros = torch.zeros(2, dtype=torch.float64)
        self.prior: Independent = Independent(Normal(zeros, zeros + PRIOR_STD), 1)

    def sample_prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw theta from the generator alone, shape (n, 2), float64."""
        return PRIOR_STD * torch.randn(n, 2, generator=generator, dtype=torch.float64)

    def infected(self, theta: Tensor) -> Tensor:
        """Return the noiseless number of infected, shape (n, 50); a failed solution is NaN.

        S and I are the prey and predator of a Lotka-Volterra system whose prey does not grow:
        alpha = 0, beta and delta both the contact rate over N.

        Args:
            theta: latent parameters, shape (n, 2).
        """
        contact, recovery = theta.double().sigmoid().unbind(1)
        coupling = contact / POPULATION
        rates = torch.stack((torch.zeros_like(contact), coupling, recovery, coupling), 1)
        initial = torch.tensor([[SUSCEPTIBLE_0, INFECTED_0]], dtype=torch.float64)
        times = torch.linspace(0, END, TIMES, dtype=torch.float64)
        return log_populations(rates, initial.expand(len(rates), 2), times)[:, 1].exp()

    def simulate(self, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Simulate observed numbers of infected, shape (n, 50), float64, positive.

        Args:
            theta: latent parameters, shape (n, 2); a failed solution is a row of NaN.
            generator: the only source of randomness.
        """
        infected = self.infected(theta)
        noise = torch.randn(infected.shape, generator=generator, dtype=torch.float64)
        return (infected + OFFSET) * (NOISE_STD * noise).exp()

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), a log-normal density; minus infinity where an x <= 0.

        Args:
            theta: latent parameters, shape (n, 2); a failed solution yields NaN.
            x: observed numbers of infected, shape (n, 50) or (1, 50).

        Returns:
            Shape (n,), float64.
        """
        x = x.double()
        positive = x > 0
        center = (self.infected(theta) + OFFSET).log()
        density = LogNormal(center, NOISE_STD, validate_args=False)
        log_prob = density.log_prob(torch.where(positive, x, 1.0))
        return torch.where(positive, log_prob, -torch.inf).sum(1)
