"""What tasks with a uniform prior over a cube share."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.config.tasks import TaskSpec
from certibayes.tasks.base import PosteriorTask
from certibayes.tasks.uniform_prior import UniformPrior


class BoxPriorTask(PosteriorTask):
    """theta ~ U(-b, b)^d, independent entries.

    Attributes:
        half_width: b.
        theta_dim: d.
    """

    half_width: float

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.theta_names = tuple(f"theta_{i}" for i in range(1, self.theta_dim + 1))
        ends = [self.half_width] * self.theta_dim
        self.prior: UniformPrior = UniformPrior([-end for end in ends], ends)

    def sample_prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw theta from the generator alone, shape (n, d), float64."""
        return self.prior.draw(n, generator)
