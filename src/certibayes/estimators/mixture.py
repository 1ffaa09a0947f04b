"""Mixture density networks: mixtures of Gaussians whose weights depend on x."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions.constraints import Constraint

from certibayes.config.models import Mixture
from certibayes.estimators.base import Estimator
from certibayes.estimators.gaussian import GaussianPosterior
from certibayes.estimators.gaussian_head import GaussianHead, GaussianLayout
from certibayes.estimators.mixture_posterior import MixturePosterior
from certibayes.estimators.mixture_quantile import mixture_quantile, normal_score
from certibayes.estimators.posterior import BijectivePosterior, standard_normal_log_density
from certibayes.estimators.theta_map import ThetaMap
from certibayes.networks.mlp import relu_layers


class GaussianMixturePosterior(BijectivePosterior):
    """v ~ sum_k w_k N(-T_k^-1 c_k, (T_k^T T_k)^-1), T_k lower triangular.

    Given v_1 .. v_(i-1), v_i is a mixture of one-dimensional Gaussians; the noise is the normal
    score of its conditional distribution function (Rosenblatt, 1952), a diffeomorphism.

    Attributes:
        precision_factor: T_k, shape (batch, K, theta_dim, theta_dim).
        offset: c_k, shape (batch, K, theta_dim).
        log_weights: log w_k, normalized, shape (batch, K).
    """

    def __init__(
        self, theta_map: ThetaMap, precision_factor: Tensor, offset: Tensor, log_weights: Tensor
    ) -> None:
        self.precision_factor = precision_factor
        self.offset = offset
        self.log_weights = log_weights
        super().__init__(theta_map, len(offset))

    @property
    def components(self) -> tuple[GaussianPosterior, ...]:
        """The Gaussians."""
        parts = zip(self.precision_factor.unbind(1), self.offset.unbind(1), strict=True)
        return tuple(GaussianPosterior(self.theta_map, factor, offset) for factor, offset in parts)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log q(theta | x), shape (*, batch), of theta with shape (*, batch, theta_dim)."""
        v, log_det_map = self.theta_map.to_v(value)
        return self._log_density(self._noises(v)) + log_det_map

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw theta from a generator, shape (n, batch, theta_dim), without gradient.

        By choice of a component, which is cheaper than `transport`.
        """
        return MixturePosterior(self.components, self.log_weights).draw(n, generator)

    def _noises(self, v: Tensor) -> Tensor:
        """Standardize v, (*, batch, d), by every component: (*, batch, K, d)."""
        return torch.einsum("...bj,bkij->...bki", v, self.precision_factor) + self.offset

    @property
    def _scales(self) -> Tensor:
        return self.precision_factor.diagonal(dim1=-2, dim2=-1)

    def _log_density(self, noises: Tensor) -> Tensor:
        log_det = self._scales.log().sum(-1)
        parts = standard_normal_log_density(noises) + log_det + self.log_weights
        return parts.logsumexp(-1)

    def _conditional(self, noise: Tensor, i: int) -> Tensor:
        """Return the log density of v_i given the ones before, of every component."""
        return self._scales[..., i].log() - 0.5 * (noise.square() + math.log(2 * math.pi))

    def _normalize(self, v: Tensor) -> tuple[Tensor, Tensor]:
        noises = self._noises(v)
        joint, scores = self.log_weights.expand(noises.shape[:-1]), []
        for i, noise in enumerate(noises.unbind(-1)):
            scores.append(normal_score(noise, joint.log_softmax(-1)))
            joint = joint + self._conditional(noise, i)
        score = torch.stack(scores, -1)
        return score, self._log_density(noises) - standard_normal_log_density(score)

    def _generate(self, noise: Tensor) -> Tensor:
        joint = self.log_weights.expand(*noise.shape[:-1], -1)
        below = self.offset.expand(*joint.shape, -1)
        found = []
        for i, target in enumerate(noise.unbind(-1)):
            slope, shift = self._scales[..., i], below[..., i]
            v = mixture_quantile(target, joint.log_softmax(-1), slope, shift)
            joint = joint + self._conditional(slope * v.unsqueeze(-1) + shift, i)
            below = below + self.precision_factor[..., i] * v[..., None, None]
            found.append(v)
        return torch.stack(found, -1)


class MixtureEstimator(Estimator):
    """q(v | x) a mixture of Gaussians; a ReLU network maps standardised x to weights and Gaussians.

    The weights are the softmax of K outputs, the other outputs are those of `GaussianEstimator`,
    once for every component. The locations of the components start spread out.
    """

    kind: ClassVar[str] = "mixture"

    def __init__(self, spec: Mixture, theta_dim: int, x_dim: int, support: Constraint) -> None:
        """Build the network.

        Args:
            spec: hyper-parameters.
            theta_dim: parameters.
            x_dim: features of x.
            support: of the prior.
        """
        super().__init__(theta_dim, x_dim, support, spec.squash, spec.embedding)
        self.layout = GaussianLayout(theta_dim, spec.covariance)
        self.count = spec.components
        widths = (self.features, *spec.hidden)
        self.trunk = nn.Sequential(*relu_layers(widths), *[nn.ReLU()] * bool(spec.hidden))
        self.head = nn.Linear(widths[-1], self.count * (1 + self.layout.size))
        with torch.no_grad():
            _, components = self._parts(self.head.bias)
            nn.init.normal_(self.layout.split(components)[0])

    def forward(self, x: Tensor) -> GaussianMixturePosterior:
        """Return q(theta | x) for raw x, shape (batch, x_dim)."""
        logits, components = self._parts(self.head(self.trunk(self.condition(x))))
        offset, diagonal, below = self.layout.split(components)
        factor = self.layout.precision_factor(diagonal, below)
        return GaussianMixturePosterior(self.theta_map, factor, offset, logits.log_softmax(-1))

    def gaussian_heads(self) -> tuple[GaussianHead, ...]:
        """Return the last layer's maps to the components, for bounds."""
        weights = self.head.weight[self.count :].chunk(self.count)
        biases = self.head.bias[self.count :].chunk(self.count)
        pairs = zip(weights, biases, strict=True)
        return tuple(GaussianHead(self.layout, weight, bias) for weight, bias in pairs)

    def logit_layer(self) -> tuple[Tensor, Tensor]:
        """Return weight, shape (K, hidden), and bias of the logits, their mean taken off."""
        weight, bias = self.head.weight[: self.count], self.head.bias[: self.count]
        return weight - weight.mean(0), bias - bias.mean()

    def _parts(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Split outputs, (*, outputs), into logits, (*, K), and the Gaussians' own, (*, K, .)."""
        logits, rest = outputs.split((self.count, outputs.shape[-1] - self.count), -1)
        return logits, rest.unflatten(-1, (self.count, -1))
