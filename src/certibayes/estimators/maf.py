"""Masked autoregressive flows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.distributions.constraints import Constraint

from certibayes.config.models import MAF
from certibayes.estimators.autoregressive import ConditionedTransform
from certibayes.estimators.base import Estimator
from certibayes.estimators.made import ConditionedAffine, MADEWeights, context_hidden
from certibayes.estimators.posterior import Posterior
from certibayes.estimators.theta_map import ThetaMap


class MAFPosterior(Posterior):
    """v pushed to noise by affine autoregressive transforms, features reversed between them."""

    def __init__(
        self, theta_map: ThetaMap, transforms: tuple[ConditionedTransform, ...], batch: int
    ) -> None:
        self.transforms = transforms
        super().__init__(theta_map, batch)

    def _normalize(self, v: Tensor) -> tuple[Tensor, Tensor]:
        noise, log_det = self.transforms[0].forward(v)
        for transform in self.transforms[1:]:
            noise, more = transform.forward(noise.flip(-1))
            log_det = log_det + more
        return noise, log_det

    def _generate(self, noise: Tensor) -> Tensor:
        for transform in self.transforms[:0:-1]:
            noise = transform.inverse(noise).flip(-1)
        return self.transforms[0].inverse(noise)


class MAFEstimator(Estimator):
    """Masked autoregressive flow (Papamakarios et al., 2017) on nflows' transforms.

    Every theta is conditioned on x with any number of transforms (see `ConditionedMADE`).
    """

    kind: ClassVar[str] = "maf"

    def __init__(self, spec: MAF, theta_dim: int, x_dim: int, support: Constraint) -> None:
        """Build the transforms.

        Args:
            spec: hyper-parameters.
            theta_dim: parameters.
            x_dim: features of x.
            support: of the prior.
        """
        super().__init__(theta_dim, x_dim, support, spec.squash)
        self.transforms = nn.ModuleList(
            ConditionedAffine(theta_dim, spec.hidden, x_dim, spec.blocks)
            for _ in range(spec.transforms)
        )

    def forward(self, x: Tensor) -> MAFPosterior:
        """Return q(theta | x) for raw x, shape (batch, x_dim)."""
        standard = self.standardize(x)
        transforms = tuple(
            ConditionedTransform(weights, context_hidden(weights, standard))
            for weights in self.made_weights()
        )
        return MAFPosterior(self.theta_map, transforms, len(x))

    def made_weights(self) -> list[MADEWeights]:
        """Return the masked, ordered weights of every transform."""
        return [transform.autoregressive_net.weights() for transform in self._transforms()]

    def reference_normalize(self, v: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return noise and log |det| by nflows' own forward passes; v and x of shape (batch, .)."""
        standard = self.standardize(x)
        log_det = torch.zeros(len(v)).to(v)
        for position, transform in enumerate(self._transforms()):
            v, more = transform(v.flip(-1) if position else v, standard)
            log_det = log_det + more
        return v, log_det

    def _transforms(self) -> Iterator[ConditionedAffine]:
        return cast(Iterator[ConditionedAffine], iter(self.transforms))
