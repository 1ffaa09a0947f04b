"""Bayes by backprop: mean-field Gaussian variational weights (Blundell et al., 2015)."""

from __future__ import annotations

import math
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from certibayes.bnn.base import ModelBuilder, PerExample, WeightInference, WeightSamples
from certibayes.bnn.predictive import Predictive
from certibayes.config.models import BBBInference


class BBB(WeightInference):
    """q(w) = N(mean, softplus(rho)^2) per weight, reparameterised.

    loss = -E_q[mean over the batch of the objective at w] + kl_weight * KL(q || p) / N, the
    expectation over `train_samples` draws, the KL in closed form and summed over all weights.
    Prior: N(0, prior_std^2); with `prior_fan_in`, parameters of two or more dimensions have
    std prior_std / sqrt(fan_in), biases keep prior_std.
    """

    def __init__(
        self, network: nn.Module, spec: BBBInference, as_model: ModelBuilder = Predictive
    ) -> None:
        """Start at the network's weights with std `initial_std`; the network is then frozen.

        Args:
            network: maps x to logits (or to what `as_model` needs).
            spec: hyper-parameters.
            as_model: makes the conditional model from the network and weight samples.
        """
        super().__init__()
        self.network = network.requires_grad_(False)
        self.spec = spec
        self._as_model = as_model
        self._names = tuple(name for name, _ in network.named_parameters())
        self.mean = nn.ParameterList([torch.empty_like(p) for p in network.parameters()])
        self.rho = nn.ParameterList([torch.empty_like(p) for p in network.parameters()])
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Set the means to the network's weights and every std to `initial_std`."""
        for mean, rho, weight in zip(self.mean, self.rho, self.network.parameters(), strict=True):
            mean.copy_(weight)
            rho.fill_(math.log(math.expm1(self.spec.initial_std)))

    def loss(self, per_example: PerExample, examples: int, generator: torch.Generator) -> Tensor:
        """Return the negative evidence lower bound per example, estimated."""
        draws = self._draw(self.spec.train_samples, generator)
        objectives = [
            per_example(self._as_model(self.network, _one(draws, s))).mean()
            for s in range(self.spec.train_samples)
        ]
        return self.spec.kl_weight * self.kl() / examples - torch.stack(objectives).mean()

    def kl(self) -> Tensor:
        """Return KL(q || p) in nats, summed over weights.

        Per weight: log(prior_std / std) + (std^2 + mean^2) / (2 prior_std^2) - 1 / 2.
        """
        terms = []
        for mean, rho in zip(self.mean, self.rho, strict=True):
            prior = self._prior_std(mean)
            std = softplus(rho)
            divergence = math.log(prior) - std.log() + (std**2 + mean**2) / (2 * prior**2) - 0.5
            terms.append(divergence.sum())
        return torch.stack(terms).sum()

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> WeightSamples:
        """Draw n weight vectors from q, without gradient."""
        return self._draw(n, generator)

    def model(self, samples: WeightSamples) -> nn.Module:
        """Return the predictive of given weight samples."""
        return self._as_model(deepcopy(self.network), samples)

    @property
    def stored_samples(self) -> int:
        """Size of the ensemble, from the specification."""
        return self.spec.stored_samples

    def _draw(self, n: int, generator: torch.Generator) -> WeightSamples:
        draws = {}
        for name, mean, rho in zip(self._names, self.mean, self.rho, strict=True):
            noise = torch.randn(n, *mean.shape, generator=generator, dtype=mean.dtype)
            draws[name] = mean + softplus(rho) * noise.to(mean.device)
        return draws

    def _prior_std(self, parameter: Tensor) -> float:
        if not self.spec.prior_fan_in or parameter.ndim < 2:
            return self.spec.prior_std
        return self.spec.prior_std / math.sqrt(parameter[0].numel())


def _one(draws: WeightSamples, sample: int) -> WeightSamples:
    return {name: values[sample : sample + 1] for name, values in draws.items()}
