"""An epidemic on a 30 x 30 grid, each cell tested once: Gloeckler et al. (2023), 2 to 900."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Independent, LogNormal

from certibayes.config.tasks import SpatialSIR as SpatialSIRSpec
from certibayes.tasks.base import PosteriorTask
from certibayes.tasks.beta import beta_draws
from certibayes.tasks.grid_epidemic import advance, start

SIDE = 30
STEPS = 10
INITIALLY_INFECTED = 4 / SIDE**2
PRIOR_STD = 0.5
TEST_ERROR = 0.05
FIELDS_SEED = 0


class SpatialSIR(PosteriorTask):
    """Contact and recovery rate of an epidemic from the tests of 900 cells, row by row.

    beta, gamma ~ log-normal(0, 0.5). Every cell starts infected with probability 4 / 900; after ten
    steps of `grid_epidemic.advance`, x ~ Beta(I + 0.05, 1 - I + 0.05) per cell, I = 1 if infected.
    Every simulation has random fields U of its own. With `shared_fields`, all simulations of the
    task (every shard, seed and study) share the same ten fields, as all simulations of a published
    data set do: a flaw, kept to meet published numbers; initial cells and tests stay independent.
    The likelihood has no closed form. Source: Gloeckler, Deistler and Macke (2023).
    """

    rows_per_call = 250
    theta_dim = 2
    x_dim = SIDE**2
    theta_names = ("beta", "gamma")
    clip = (0.0, 1.0)

    def __init__(self, spec: SpatialSIRSpec) -> None:
        super().__init__(spec)
        self.fields: Tensor | None = None
        if spec.shared_fields:
            self.fields = _uniform(STEPS, torch.Generator().manual_seed(FIELDS_SEED))
        zeros = torch.zeros(2, dtype=torch.float64)
        self.prior: Independent = Independent(LogNormal(zeros, zeros + PRIOR_STD), 1)

    def sample_prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw theta from the generator alone, shape (n, 2), float64, positive."""
        return (PRIOR_STD * torch.randn(n, 2, generator=generator, dtype=torch.float64)).exp()

    def infected(self, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Simulate which cells are infected after ten steps, shape (n, 30, 30), bool.

        Args:
            theta: parameters, shape (n, 2), positive.
            generator: the only source of randomness.
        """
        contact, recovery = theta.double().unbind(1)
        state = start(_uniform(len(theta), generator) < INITIALLY_INFECTED)
        for step in range(STEPS):
            if self.fields is None:
                fields = _uniform(len(theta), generator)
            else:
                fields = self.fields[step : step + 1]
            state = advance(state, contact, recovery, fields)
        return state.infected

    def simulate(self, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Simulate the tests, shape (n, 900), float64, in [0, 1].

        Args:
            theta: parameters, shape (n, 2), positive; one that is not finite yields a row of NaN.
            generator: the only source of randomness.
        """
        infected = self.infected(theta, generator).flatten(1)
        negative = beta_draws(TEST_ERROR, 1 + TEST_ERROR, tuple(infected.shape), generator)
        tests = torch.where(infected, 1 - negative, negative)
        return tests.masked_fill(~theta.isfinite().all(1, keepdim=True), torch.nan)


def _uniform(n: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n, SIDE, SIDE, generator=generator, dtype=torch.float64)
