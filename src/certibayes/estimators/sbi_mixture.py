"""Mixture density networks as the sbi toolbox builds and pickles them."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from certibayes.estimators.foreign import ForeignEstimator, ForeignNetworkError
from certibayes.estimators.posterior import Posterior, standard_normal_log_density
from certibayes.estimators.theta_map import ThetaMap

PARTS = ("_hidden_net", "_logits_layer", "_means_layer", "_unconstrained_diagonal_layer")


class SbiMixturePosterior(Posterior):
    """v ~ sum_k w_k N(m_k, (A_k^T A_k)^-1), A_k upper triangular.

    Attributes:
        log_weights: log w_k, normalized, shape (batch, K).
        means: m_k, shape (batch, K, theta_dim).
        factors: A_k, shape (batch, K, theta_dim, theta_dim).
    """

    def __init__(
        self, theta_map: ThetaMap, log_weights: Tensor, means: Tensor, factors: Tensor
    ) -> None:
        self.log_weights = log_weights
        self.means = means
        self.factors = factors
        super().__init__(theta_map, len(means))

    @property
    def noise_dim(self) -> int:
        """One more than parameters: the last coordinate chooses the component."""
        return self.event_shape[0] + 1

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log q(theta | x), shape (*, batch), of theta with shape (*, batch, theta_dim)."""
        v, log_det = self.theta_map.to_v(value)
        noise = torch.einsum("bkij,...bkj->...bki", self.factors, v.unsqueeze(-2) - self.means)
        log_slopes = self.factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        parts = standard_normal_log_density(noise) + log_slopes + self.log_weights
        return parts.logsumexp(-1) + log_det

    def transport(self, noise: Tensor) -> Tensor:
        """Map standard normal noise, shape (*, batch, theta_dim + 1), to theta."""
        below = self.log_weights.exp().cumsum(-1)[:, :-1]
        chosen = (torch.special.ndtr(noise[..., -1:]) > below).sum(-1)
        batch = torch.arange(len(self.means)).expand_as(chosen)
        v = torch.linalg.solve_triangular(
            self.factors[batch, chosen], noise[..., :-1].unsqueeze(-1), upper=True
        )
        return self.theta_map.to_theta(self.means[batch, chosen] + v.squeeze(-1))


class SbiMixture(ForeignEstimator):
    """The mixture density network of sbi (Bishop, 1994), with full covariances.

    The diagonal of a factor is softplus of a network output. sbi's own `log_prob` adds 1e-4 to the
    diagonal of the precisions, its draws do not: this is the distribution of the draws.
    """

    kind: ClassVar[str] = "sbi_mixture"

    def __init__(
        self,
        net: Any,
        embedding_net: nn.Module,
        theta_dim: int,
        x_dim: int,
        location: Tensor | None,
        scale: Tensor | None,
    ) -> None:
        """Copy the network into float64 and eval mode.

        Args:
            net: with the attributes of sbi's `MultivariateGaussianMDN`.
            embedding_net: maps raw x, shape (batch, x_dim), to what the network sees.
            theta_dim: parameters.
            x_dim: features of x.
            location: of theta, shape (theta_dim,); theta = location + scale v. None = 0.
            scale: of theta, shape (theta_dim,); None = 1.
        """
        super().__init__(theta_dim, x_dim, copy.deepcopy(embedding_net))
        if location is not None and scale is not None:
            self.v_location.copy_(location)
            self.v_scale.copy_(scale)
        self.net = copy.deepcopy(net)
        self.count = int(net._num_components)
        self.double().eval().requires_grad_(False)

    def forward(self, x: Tensor) -> SbiMixturePosterior:
        """Return q(theta | x) before the cut at the support, for raw x, shape (batch, x_dim)."""
        found = self.net(self.condition(x))
        log_weights = found.logits.log_softmax(-1)
        return SbiMixturePosterior(
            self.theta_map, log_weights, found.means, found.precision_factors
        )


def is_mixture(net: nn.Module) -> bool:
    """Tell whether a network has the parts of sbi's mixture density network."""
    return all(hasattr(net, name) for name in PARTS)


def require_no_prior_transform(estimator: Any) -> None:
    """Raise ForeignNetworkError if theta passes a transform of the prior before the mixture."""
    if getattr(estimator, "_prior_transform_module", None) is not None:
        raise ForeignNetworkError("module: got a CallableTransform of theta, no bound")
