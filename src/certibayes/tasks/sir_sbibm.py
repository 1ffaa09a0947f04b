"""SIR epidemic in the convention of sbibm, Lueckmann et al. (2021): 2 to 10."""

from __future__ import annotations

import math

import torch
from scipy.stats import binom
from torch import Tensor

from certibayes.config.tasks import TaskSpec
from certibayes.tasks.log_normal_prior import LogNormalPriorTask
from certibayes.tasks.lotka_volterra_ode import log_populations

TIMES = 10
SPACING = 17.0
POPULATION = 1e6
INFECTED_0 = 1.0
TESTED = 1_000
PRIOR_LOCATION = (math.log(0.4), math.log(0.125))
PRIOR_SCALE = (0.5, 0.2)


class SIRSbibm(LogNormalPriorTask):
    """Contact and recovery rate of an epidemic from ten samples of 1,000 people.

    log theta ~ N((log 0.4, log 0.125), diag(0.5, 0.2)^2). With N = 1e6, dS/dt = -beta S I / N and
    dI/dt = beta S I / N - gamma I from S(0) = N - 1 and I(0) = 1; x ~ Binomial(1000, I(t) / N) at
    t = 0, 17, ..., 153 days (every 17th of 161 points).
    Source: sbibm, Lueckmann et al. (2021).
    """

    theta_dim = 2
    x_dim = TIMES
    theta_names = ("beta", "gamma")

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec, PRIOR_LOCATION, PRIOR_SCALE)

    def log_share(self, theta: Tensor) -> Tensor:
        """Return log(I(t) / N), shape (n, 10); a failed solution is a row of NaN.

        S and I are the prey and predator of a Lotka-Volterra system whose prey does not grow:
        alpha = 0, beta and delta both the contact rate over N.

        Args:
            theta: contact and recovery rate, shape (n, 2).
        """
        contact, recovery = theta.double().unbind(1)
        coupling = contact / POPULATION
        rates = torch.stack((torch.zeros_like(contact), coupling, recovery, coupling), 1)
        initial = torch.tensor([[POPULATION - INFECTED_0, INFECTED_0]], dtype=torch.float64)
        times = SPACING * torch.arange(TIMES, dtype=torch.float64)
        solved = log_populations(rates, initial.expand(len(rates), 2), times)[:, 1]
        return solved - math.log(POPULATION)

    def simulate(self, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Simulate counts of infected among those tested, shape (n, 10), float64.

        Counts are binomial quantiles of uniform numbers, one per entry, so that no row depends on
        another; the quantile of 0 is 0.

        Args:
            theta: contact and recovery rate, shape (n, 2); a failed solution is a row of NaN.
            generator: the only source of randomness.
        """
        share = self.log_share(theta).exp()
        uniform = torch.rand(share.shape, generator=generator, dtype=torch.float64)
        solved = share.isfinite()
        probability = torch.where(solved, share, 0.0).clamp(max=1.0)
        quantile = binom.ppf(uniform.numpy(), TESTED, probability.numpy())
        counts = torch.from_numpy(quantile).clamp(min=0.0)
        return torch.where(solved, counts, torch.nan)

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), a binomial probability, shape (n,); -inf off 0..1000.

        Args:
            theta: contact and recovery rate, shape (n, 2); a failed solution yields NaN.
            x: counts, shape (n, 10) or (1, 10).
        """
        x = x.double()
        log_p = self.log_share(theta)
        possible = (x >= 0) & (x <= TESTED) & (x == x.round())
        k = torch.where(possible, x, 0.0)
        choose = math.lgamma(TESTED + 1) - (k + 1).lgamma() - (TESTED - k + 1).lgamma()
        log_prob = choose + k * log_p + (TESTED - k) * (-log_p.exp()).log1p()
        return torch.where(possible, log_prob, -torch.inf).sum(1)
