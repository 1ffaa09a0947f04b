"""Bayes by backprop: mean-field Gaussian variational weights (Blundell et al., 2015)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from certibayes.bnn.base import ModelBuilder, PerExample, WeightSamples
from certibayes.bnn.network_inference import NetworkInference
from certibayes.bnn.predictive import Predictive
from certibayes.bnn.prior import GaussianPrior, median_of
from certibayes.config.inference import BBBInference


class BBB(NetworkInference):
    """q(w) = N(mean, softplus(rho)^2) per weight, reparameterized.

    loss = -E_q[mean over the batch of the objective at w] + kl_weight * KL(q || p) / N, the
    expectation over `train_samples` draws, the KL in closed form and summed over all weights.
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
        super().__init__(network, as_model)
        self.spec = spec
        self.prior = GaussianPrior(spec.prior_std, spec.prior_fan_in)
        self.mean = nn.ParameterList(self._like_network())
        self.rho = nn.ParameterList(self._like_network())
        self.reset(torch.Generator())

    @torch.no_grad()
    def reset(self, generator: torch.Generator) -> None:
        """Set the means to the network's weights and every std to `initial_std`."""
        std = self.spec.initial_std
        for mean, rho, weight in zip(self.mean, self.rho, self._initial, strict=True):
            mean.copy_(weight)
            rho.fill_(std + math.log(-math.expm1(-std)))

    def loss(self, per_example: PerExample, examples: int, generator: torch.Generator) -> Tensor:
        """Return the negative evidence lower bound per example, estimated."""
        draws = self._draw(self.spec.train_samples, generator)
        objectives = [
            per_example(self._at(values[s] for values in draws.values())).mean()
            for s in range(self.spec.train_samples)
        ]
        return self.spec.kl_weight * self.kl() / examples - torch.stack(objectives).mean()

    def kl(self) -> Tensor:
        """Return KL(q || p) in nats, summed over weights."""
        return self.prior.kl(list(self.mean), self._stds())

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> WeightSamples:
        """Draw n weight vectors from q, without gradient."""
        return self._draw(n, generator)

    @torch.no_grad()
    def marginals(self) -> tuple[WeightSamples, WeightSamples]:
        """Return the mean and the std of every weight; see `MeanField`."""
        return self._named(self.mean), self._named(self._stds())

    @property
    def stored_samples(self) -> int:
        """Size of the ensemble, from the specification."""
        return self.spec.stored_samples

    @torch.no_grad()
    def diagnostics(self) -> dict[str, float]:
        """Return KL(q || p) and the median std of all weights."""
        return {"kl": float(self.kl()), "posterior_std": median_of(self._stds())}

    def _stds(self) -> list[Tensor]:
        return [softplus(rho) for rho in self.rho]

    def _draw(self, n: int, generator: torch.Generator) -> WeightSamples:
        draws = {}
        for name, mean, std in zip(self._names, self.mean, self._stds(), strict=True):
            noise = torch.randn(n, *mean.shape, generator=generator, dtype=mean.dtype)
            draws[name] = mean + std * noise.to(mean.device)
        return draws
