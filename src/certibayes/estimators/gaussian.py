"""Gaussian posteriors with a full or a diagonal covariance."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal
from torch.distributions.constraints import Constraint

from certibayes.config.models import Gaussian
from certibayes.estimators.base import Estimator
from certibayes.estimators.gaussian_head import GaussianHead, GaussianLayout
from certibayes.estimators.posterior import BijectivePosterior
from certibayes.estimators.theta_map import ThetaMap
from certibayes.networks.mlp import relu_layers


class GaussianPosterior(BijectivePosterior):
    """v ~ N(-T^-1 c, (T^T T)^-1): noise = T v + c with T lower triangular, positive diagonal.

    Attributes:
        precision_factor: T, shape (batch, theta_dim, theta_dim).
        offset: c, shape (batch, theta_dim).
    """

    def __init__(self, theta_map: ThetaMap, precision_factor: Tensor, offset: Tensor) -> None:
        self.precision_factor = precision_factor
        self.offset = offset
        super().__init__(theta_map, len(offset))

    @cached_property
    def latent(self) -> MultivariateNormal:
        """The Gaussian of the unconstrained, standardised v.

        Divergences between two posteriors of one estimator are those between their latents.
        """
        identity = torch.eye(self.offset.shape[-1]).to(self.offset)
        scale_tril = torch.linalg.solve_triangular(
            self.precision_factor, identity.expand_as(self.precision_factor), upper=False
        )
        mean = -(scale_tril @ self.offset.unsqueeze(-1)).squeeze(-1)
        return MultivariateNormal(mean, scale_tril=scale_tril, validate_args=False)

    def _normalize(self, v: Tensor) -> tuple[Tensor, Tensor]:
        noise = torch.einsum("...bj,bij->...bi", v, self.precision_factor) + self.offset
        log_det = self.precision_factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return noise, log_det.expand(noise.shape[:-1])

    def _generate(self, noise: Tensor) -> Tensor:
        shape = noise.shape
        columns = (noise - self.offset).reshape(-1, *shape[-2:]).permute(1, 2, 0)
        v = torch.linalg.solve_triangular(self.precision_factor, columns, upper=False)
        return v.permute(2, 0, 1).reshape(shape)


class GaussianEstimator(Estimator):
    """q(v | x) Gaussian; a ReLU network, trunk and linear head, maps standardised x to T and c.

    log q(v | x) = log N(T v + c; 0, I) + sum_i log T_ii, with T_ii = softplus(.) + 1e-3. At a fixed
    v, every T v + c but for the diagonal's share is linear in the network's outputs, so the last
    layer can be folded into bounds; a mean of its own would multiply T. With a diagonal covariance
    (of v) T is diagonal.
    """

    kind: ClassVar[str] = "gaussian"

    def __init__(self, spec: Gaussian, theta_dim: int, x_dim: int, support: Constraint) -> None:
        """Build the network.

        Args:
            spec: hyper-parameters.
            theta_dim: parameters.
            x_dim: features of x.
            support: of the prior.
        """
        super().__init__(theta_dim, x_dim, support, spec.squash, spec.embedding)
        self.layout = GaussianLayout(theta_dim, spec.covariance)
        widths = (self.features, *spec.hidden)
        self.trunk = nn.Sequential(*relu_layers(widths), *[nn.ReLU()] * bool(spec.hidden))
        self.head = nn.Linear(widths[-1], self.layout.size)

    def forward(self, x: Tensor) -> GaussianPosterior:
        """Return q(theta | x) for raw x, shape (batch, x_dim)."""
        offset, diagonal, below = self.split(self.head(self.trunk(self.condition(x))))
        factor = self.layout.precision_factor(diagonal, below)
        return GaussianPosterior(self.theta_map, factor, offset)

    def split(self, outputs: Tensor, dim: int = -1) -> tuple[Tensor, Tensor, Tensor]:
        """Split network outputs, or rows of the last layer, into c, raw diagonal and rest of T."""
        return self.layout.split(outputs, dim)

    def gaussian_head(self) -> GaussianHead:
        """Return the last layer as a map of theta, for bounds."""
        return GaussianHead.of(self.layout, self.head)
