"""A posterior of which nothing is known but its draws and its log density."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from certibayes.estimators.foreign import REAL
from certibayes.estimators.posterior import Posterior
from certibayes.estimators.theta_map import ThetaMap

SEED_LIMIT = 2**32


@dataclass(frozen=True, eq=False)
class BlackBox:
    """q(theta | x) by two functions; they take torch's default data type.

    Attributes:
        sample: maps n and x, shape (1, x_dim), to draws of theta, shape (n, theta_dim).
        log_density: maps theta, shape (n, theta_dim), and x, (1, x_dim), to log q, shape (n,).
        theta_dim: parameters.
    """

    sample: Callable[[int, Tensor], Tensor]
    log_density: Callable[[Tensor, Tensor], Tensor]
    theta_dim: int

    def __call__(self, x: Tensor) -> BlackBoxPosterior:
        """Return the posterior at raw x, shape (batch, x_dim)."""
        return BlackBoxPosterior(self, x)

    @property
    def theta_map(self) -> ThetaMap:
        """The identity."""
        zeros = torch.zeros(self.theta_dim, dtype=torch.float64)
        return ThetaMap(REAL, zeros, torch.ones_like(zeros))


class BlackBoxPosterior(Posterior):
    """The posteriors at a batch of x, computed one after the other."""

    def __init__(self, box: BlackBox, x: Tensor) -> None:
        self.box = box
        self.x = x
        super().__init__(box.theta_map, len(x))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log q(theta | x), shape (*, batch), of theta with shape (*, batch, theta_dim)."""
        value = value.expand(*value.shape[:-2], len(self.x), value.shape[-1])
        kind = torch.get_default_dtype()
        columns = [
            self.box.log_density(value[..., row, :].reshape(-1, value.shape[-1]).to(kind), x)
            .double()
            .reshape(value.shape[:-2])
            for row, x in enumerate(self.x.to(kind).split(1))
        ]
        log_density = torch.stack(columns, -1)
        return log_density if torch.is_grad_enabled() else log_density.detach()

    def transport(self, noise: Tensor) -> Tensor:
        """Raise NotImplementedError: the noise behind the draws is not known."""
        raise NotImplementedError("a posterior that is known by its draws alone has no transport")

    @torch.no_grad()
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw theta, shape (n, batch, theta_dim).

        The global generators of torch and numpy are seeded from the generator meanwhile: draws
        repeat as far as the functions use these.
        """
        kind = torch.get_default_dtype()
        seed = int(torch.randint(SEED_LIMIT, (), generator=generator))
        before = np.random.get_state()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed)
            try:
                rows = [
                    self.box.sample(n, x).double().reshape(n, -1) for x in self.x.to(kind).split(1)
                ]
            finally:
                np.random.set_state(before)
        return torch.stack(rows, 1)
