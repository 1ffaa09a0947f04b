"""What the two tasks of the three-cell network share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from certibayes.config.simulators.recordings import PyloricSpec
from certibayes.tasks.base import PosteriorTask
from certibayes.tasks.pyloric_network import STEP, gate_table, voltages
from certibayes.tasks.pyloric_prior import NAMES, pyloric_prior
from certibayes.tasks.uniform_prior import UniformPrior

Floats = NDArray[np.float64]


class PyloricTask(PosteriorTask):
    """The network of `pyloric_network.voltages` under the prior of `pyloric_prior`.

    Every simulation has a seed of its own, drawn from the generator before the first, so that
    rows do not depend on one another.
    """

    rows_per_call = 50
    theta_dim = len(NAMES)
    theta_names = NAMES

    def __init__(self, spec: PyloricSpec) -> None:
        super().__init__(spec)
        self.substeps: int = spec.substeps
        self.prior: UniformPrior = pyloric_prior()

    def sample_prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw theta from the generator alone, shape (n, 31), float64."""
        return self.prior.draw(n, generator)

    @cached_property
    def _table(self) -> Floats:
        return gate_table(STEP / self.substeps)

    def runs(
        self, theta: Tensor, generator: torch.Generator, duration: float, every: int
    ) -> Iterator[Floats | None]:
        """Yield the voltages of each row of theta in turn; None where the solution diverges.

        Args:
            theta: parameters, shape (n, 31).
            generator: the only source of randomness.
            duration: ms.
            every: steps of 0.025 ms from one voltage to the next; the first is after `every`.

        Yields:
            Voltages in mV of AB/PD, LP and PY, shape (duration / 0.025 / every, 3).
        """
        seeds = torch.randint(2**62, (len(theta),), generator=generator).tolist()
        for parameters, seed in zip(theta.detach().double().numpy(), seeds, strict=True):
            own = torch.Generator().manual_seed(seed)
            noise = torch.randn(round(duration / STEP), 3, generator=own, dtype=torch.float64)
            yield voltages(parameters, noise.numpy(), every, self._table, self.substeps)

    def simulate(self, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Simulate x, shape (n, x_dim), float64; a failed simulation is a row of NaN.

        Args:
            theta: parameters, shape (n, 31).
            generator: the only source of randomness.
        """
        x = torch.full((len(theta), self.x_dim), torch.nan, dtype=torch.float64)
        for row, found in enumerate(self.observations(theta, generator)):
            if found is not None:
                x[row] = torch.from_numpy(found)
        return x

    @abstractmethod
    def observations(self, theta: Tensor, generator: torch.Generator) -> Iterator[Floats | None]:
        """Yield x of each row of theta in turn, shape (x_dim,); None where it failed."""
