"""What tasks with independent log-normal priors share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Independent, LogNormal

from certibayes.config.tasks import TaskSpec
from certibayes.tasks.base import PosteriorTask


class LogNormalPriorTask(PosteriorTask):
    """log theta ~ N(location, diag(scale)^2)."""

    def __init__(
        self, spec: TaskSpec, location: tuple[float, ...], scale: tuple[float, ...]
    ) -> None:
        super().__init__(spec)
        self.location = torch.tensor(location, dtype=torch.float64)
        self.scale = torch.tensor(scale, dtype=torch.float64)
        self.prior: Independent = Independent(LogNormal(self.location, self.scale), 1)

    def sample_prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw theta from the generator alone, shape (n, theta_dim), float64."""
        noise = torch.randn(n, self.theta_dim, generator=generator, dtype=torch.float64)
        return (self.location + self.scale * noise).exp()
