"""What tasks with a uniform prior over a cube share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Independent, Uniform, constraints
from torch.distributions.constraints import Constraint

from certibayes.config.tasks import TaskSpec
from certibayes.tasks.base import PosteriorTask


class UniformBox(Independent):
    """U(-b, b)^d, float64.

    The bounds of its support are plain numbers, so that the bijection onto it keeps the data type
    and the device of its argument; those of torch's `Uniform` are tensors, which would turn
    float32 training into float64.
    """

    def __init__(self, half_width: float, dim: int) -> None:
        self.half_width = half_width
        high = torch.full((dim,), half_width, dtype=torch.float64)
        super().__init__(Uniform(-high, high), 1)

    @property
    def support(self) -> Constraint:
        """The closed cube, with event dimension 1."""
        return constraints.independent(constraints.interval(-self.half_width, self.half_width), 1)


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
        self.prior: UniformBox = UniformBox(self.half_width, self.theta_dim)

    def sample_prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw theta from the generator alone, shape (n, d), float64."""
        uniform = torch.rand(n, self.theta_dim, generator=generator, dtype=torch.float64)
        return self.half_width * (2 * uniform - 1)
