"""Lynx and hare: Lotka-Volterra dynamics with the Hudson's Bay pelt counts of 1900-1920."""

from __future__ import annotations

import csv
import json
from importlib.resources import files

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Normal

from certibayes.config.tasks import TaskSpec
from certibayes.tasks.base import PosteriorTask
from certibayes.tasks.lotka_volterra_ode import log_populations
from certibayes.tasks.lynx_hare_prior import LynxHarePrior
from certibayes.tasks.traces import Traces

YEARS = 21
FIRST_YEAR = 1900


class LynxHare(PosteriorTask):
    """Rates, initial populations and noise of a predator-prey system from 42 log counts.

    u (hare) and v (lynx), in thousands of pelts, follow du/dt = (alpha - beta v) u and
    dv/dt = (-gamma + delta u) v; x = (log u(t) + sigma_hare N, log v(t) + sigma_lynx N) for
    t = 0..20 years, hare first; N is standard normal noise, fresh in every entry. x is in log
    units, so a raw epsilon is a relative error of the counts. Source of model, prior and data: the
    Stan case study on predator-prey dynamics, Carpenter (2018); counts from Howard (2009).
    """

    theta_dim = 8
    x_dim = 2 * YEARS
    theta_names = (
        "alpha",
        "beta",
        "gamma",
        "delta",
        "hare_0",
        "lynx_0",
        "sigma_hare",
        "sigma_lynx",
    )
    x_names = tuple(
        f"{animal} {FIRST_YEAR + year}" for animal in ("hare", "lynx") for year in range(YEARS)
    )

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.prior: LynxHarePrior = LynxHarePrior()

    def sample_prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw theta from the generator alone, shape (n, 8), float64."""
        return self.prior.draw(n, generator)

    def log_counts(self, theta: Tensor) -> Tensor:
        """Return the noiseless log counts, shape (n, 42); a failed solution is a row of NaN.

        Args:
            theta: parameters, shape (n, 8), positive.
        """
        times = torch.arange(YEARS, dtype=torch.float64)
        return log_populations(theta[:, :4], theta[:, 4:6], times).flatten(1)

    def simulate(self, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Simulate noisy log counts, shape (n, 42), float64; a failed solution is a row of NaN.

        Args:
            theta: parameters, shape (n, 8), positive.
            generator: the only source of randomness.
        """
        log_counts = self.log_counts(theta)
        noise = torch.randn(log_counts.shape, generator=generator, dtype=torch.float64)
        return log_counts + _noise_scale(theta) * noise

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), the density of log counts, shape (n,).

        Args:
            theta: parameters, shape (n, 8), positive; a failed solution yields NaN.
            x: log counts, shape (n, 42) or (1, 42).
        """
        residual = x.double() - self.log_counts(theta)
        scale = _noise_scale(theta)
        return Normal(0.0, scale, validate_args=False).log_prob(residual).sum(1)

    def observed(self) -> Tensor:
        """Return the log counts of 1900-1920, shape (1, 42), float64: 21 hare, then 21 lynx."""
        source = files("certibayes").joinpath("tasks", "lynx_hare.csv")
        with source.open(encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        counts = [float(row[animal]) for animal in ("hare", "lynx") for row in rows]
        return torch.tensor([counts], dtype=torch.float64).log()

    def observed_names(self) -> tuple[str, ...]:
        """Return the years of the one series."""
        return (f"{FIRST_YEAR}-{FIRST_YEAR + YEARS - 1}",)

    def recordings(self) -> Traces:
        """Return the counts of both animals, in thousands of pelts, shape (1, 2, 21)."""
        return _counts(self.observed())

    def traces(self, theta: Tensor, observation: int, generator: torch.Generator) -> Traces:
        """Simulate noisy counts, in thousands of pelts, shape (n, 2, 21)."""
        return _counts(self.simulate(theta, generator))

    def reference_moments(self) -> tuple[Tensor, Tensor]:
        """Return posterior mean and std at the real series, each (8,), float64.

        From a Metropolis run of this model (tests/oracles/lynx_hare_mcmc.py), stored beside it.
        """
        source = files("certibayes").joinpath("tasks", "lynx_hare_reference.json")
        stored = json.loads(source.read_text(encoding="utf-8"))
        mean, std = (torch.tensor(stored[name], dtype=torch.float64) for name in ("mean", "std"))
        return mean, std


def _counts(x: Tensor) -> Traces:
    years = np.arange(FIRST_YEAR, FIRST_YEAR + YEARS, dtype=np.float64)
    labels = ("hare (thousand pelts)", "lynx (thousand pelts)")
    return Traces(years, x.exp().view(-1, 2, YEARS).numpy(), "year", labels)


def _noise_scale(theta: Tensor) -> Tensor:
    return theta[:, 6:8].double().repeat_interleave(YEARS, 1)
