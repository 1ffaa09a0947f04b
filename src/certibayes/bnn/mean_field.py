"""A posterior of independent Gaussian weights, with the weight vectors that were stored of it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from certibayes.bnn.base import WeightSamples
from certibayes.bnn.predictive import Predictive
from certibayes.bnn.prior import standard_normal


@runtime_checkable
class MeanField(Protocol):
    """A way of inferring weights whose q is a product of Gaussians."""

    def marginals(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the mean and the std of every weight, by the names of the parameters."""
        ...


class MeanFieldPosterior(nn.Module):
    """q(w) = prod_i N(mean_i, std_i^2) over the weights of a network.

    Attributes:
        network: the architecture; its own weights play no role.
        stored: the weight vectors that were stored, as a predictive.
    """

    def __init__(
        self,
        network: nn.Module,
        means: Mapping[str, Tensor],
        stds: Mapping[str, Tensor],
        stored: WeightSamples,
    ) -> None:
        """Hold copies.

        Args:
            network: maps x to logits.
            means: parameter name -> means.
            stds: parameter name -> standard deviations, above 0.
            stored: parameter name -> values, shape (samples, *parameter shape).

        Raises:
            ValueError: if a standard deviation is not above 0.
        """
        super().__init__()
        self.network = network.requires_grad_(False)
        self.stored = Predictive(deepcopy(network), stored)
        self._shapes = {name: value.shape for name, value in means.items()}
        self.register_buffer("mean", _flat(means))
        self.register_buffer("std", _flat(stds))
        if not bool((self.get_buffer("std") > 0).all()):
            raise ValueError("stds: got 0 or less; allowed: numbers above 0")

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """Return a flat weight vector by the names of its parameters."""
        parts = flat.split([shape.numel() for shape in self._shapes.values()])
        shaped = zip(self._shapes.items(), parts, strict=True)
        return {name: part.view(shape) for (name, shape), part in shaped}

    def standardized(self, samples: WeightSamples) -> Tensor:
        """Return weight vectors in stds from the mean, shape (samples, weights)."""
        flat = torch.cat([samples[name].flatten(1) for name in self._shapes], 1)
        standard: Tensor = (flat - self.get_buffer("mean")) / self.get_buffer("std")
        return standard

    def at(self, standard: Tensor) -> dict[str, Tensor]:
        """Return the weights at a vector in stds from the mean, shape (weights,)."""
        return self.named(self.get_buffer("mean") + self.get_buffer("std") * standard)

    def draw(self, n: int, generator: torch.Generator) -> Predictive:
        """Return the predictive of n fresh weight vectors."""
        mean = self.get_buffer("mean")
        drawn = [self.at(standard_normal(mean, generator)) for _ in range(n)]
        stacked = {name: torch.stack([one[name] for one in drawn]) for name in self._shapes}
        return Predictive(deepcopy(self.network), stacked).eval().requires_grad_(False)


def _flat(values: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([value.detach().flatten() for value in values.values()])
