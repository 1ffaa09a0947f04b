"""The prior of the lynx-hare task: independent truncated normal and log-normal components."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, LogNormal, constraints
from torch.distributions.constraints import Constraint

from certibayes.tasks.truncated_normal import PositiveNormal

RATES = ((1.0, 0.5), (0.05, 0.05), (1.0, 0.5), (0.05, 0.05))
LOG_SCALES = ((math.log(10), 1.0), (math.log(10), 1.0), (-1.0, 1.0), (-1.0, 1.0))


class LynxHarePrior(Distribution):
    """Prior over (alpha, beta, gamma, delta, hare_0, lynx_0, sigma_hare, sigma_lynx), float64.

    alpha, gamma ~ normal(1, 0.5) and beta, delta ~ normal(0.05, 0.05), all cut at 0;
    hare_0, lynx_0 ~ log-normal(log 10, 1); sigma_hare, sigma_lynx ~ log-normal(-1, 1).
    Source: the Stan case study on predator-prey dynamics, Carpenter (2018).
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}
    support = constraints.independent(constraints.positive, 1)

    def __init__(self, validate_args: bool | None = None) -> None:
        rates = torch.tensor(RATES, dtype=torch.float64)
        logs = torch.tensor(LOG_SCALES, dtype=torch.float64)
        self.rates = PositiveNormal(rates[:, 0], rates[:, 1], validate_args)
        self.positives = LogNormal(logs[:, 0], logs[:, 1], validate_args)
        super().__init__(event_shape=torch.Size((8,)), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """Prior means, shape (8,)."""
        return torch.cat((self.rates.mean, self.positives.mean))

    @property
    def variance(self) -> Tensor:
        """Prior variances, shape (8,)."""
        return torch.cat((self.rates.variance, self.positives.variance))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the normalized log density of theta, shape (*, 8) to (*).

        Raises:
            ValueError: if arguments are validated and an entry is not positive.
        """
        if self._validate_args:
            self._validate_sample(value)
        rates, positives = value.split(4, -1)
        return self.rates.log_prob(rates).sum(-1) + self.positives.log_prob(positives).sum(-1)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw theta from the generator alone, shape (n, 8)."""
        uniform = torch.rand(n, 4, generator=generator, dtype=torch.float64)
        normal = torch.randn(n, 4, generator=generator, dtype=torch.float64)
        return self._transform(uniform, normal)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw theta with torch's global generator, shape (*sample_shape, 8)."""
        shape = (*sample_shape, 4)
        uniform = torch.rand(shape, dtype=torch.float64)
        return self._transform(uniform, torch.randn(shape, dtype=torch.float64))

    def _transform(self, uniform: Tensor, normal: Tensor) -> Tensor:
        positives = (self.positives.loc + self.positives.scale * normal).exp()
        return torch.cat((self.rates.quantile_above(uniform), positives), -1)
