"""Independent Gaussian prior of weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from certibayes.config.inference import MAPInference


class GaussianPrior:
    """p(w) = N(0, std^2) per weight; std is one number per parameter, from its shape.

    Parameters of two or more dimensions have std prior_std / sqrt(fan_in) with `prior_fan_in`,
    where fan_in is the number of weights per output; all others have prior_std.
    """

    def __init__(self, prior_std: float, prior_fan_in: bool) -> None:
        self._std = prior_std
        self._fan_in = prior_fan_in

    @classmethod
    def of(cls, spec: MAPInference) -> GaussianPrior | None:
        """Return the prior of a specification; None where it is flat."""
        return None if spec.prior_std is None else cls(spec.prior_std, spec.prior_fan_in)

    def std_of(self, parameter: Tensor) -> float:
        """Return the standard deviation of every weight of a parameter."""
        if not self._fan_in or parameter.ndim < 2:
            return self._std
        return self._std / math.sqrt(parameter[0].numel())

    def energy(self, weights: Sequence[Tensor]) -> Tensor:
        """Return -log p(w) up to its constant: sum of w^2 / (2 std^2), a scalar."""
        terms = [(w**2).sum() / (2 * self.std_of(w) ** 2) for w in weights]
        return torch.stack(terms).sum()

    def kl(self, means: Sequence[Tensor], stds: Sequence[Tensor]) -> Tensor:
        """Return KL(q || p) in nats of independent Gaussians q, summed over weights, a scalar.

        Per weight: log(prior_std / std) + (std^2 + mean^2) / (2 prior_std^2) - 1 / 2.
        """
        terms = []
        for mean, std in zip(means, stds, strict=True):
            prior = self.std_of(mean)
            divergence = math.log(prior) - std.log() + (std**2 + mean**2) / (2 * prior**2) - 0.5
            terms.append(divergence.sum())
        return torch.stack(terms).sum()

    def draw(self, like: Sequence[Tensor], generator: torch.Generator) -> list[Tensor]:
        """Draw one weight vector of the given shapes; generator on the CPU."""
        return [self.std_of(w) * standard_normal(w, generator) for w in like]


def standard_normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Return standard normal noise of a tensor's shape, type and device, drawn on the CPU."""
    return torch.randn(like.shape, generator=generator, dtype=like.dtype).to(like.device)


def median_of(tensors: Sequence[Tensor]) -> float:
    """Return the median over all entries of all tensors."""
    return float(torch.cat([t.detach().flatten() for t in tensors]).median())
