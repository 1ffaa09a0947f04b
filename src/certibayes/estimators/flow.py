"""What autoregressive flows share: transforms with features reversed between them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import cast

import torch
from nflows.transforms.autoregressive import AutoregressiveTransform
from torch import Tensor, nn
from torch.distributions.constraints import Constraint

from certibayes.estimators.autoregressive import ConditionedTransform
from certibayes.estimators.base import Estimator
from certibayes.estimators.made import MADEWeights, context_hidden
from certibayes.estimators.posterior import Posterior
from certibayes.estimators.theta_map import ThetaMap


class FlowPosterior(Posterior):
    """v pushed to noise by autoregressive transforms, features reversed between them."""

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


class FlowEstimator(Estimator):
    """A flow on nflows' autoregressive transforms whose networks are `ConditionedMADE`.

    Every theta is conditioned on x with any number of transforms (see `ConditionedMADE`).
    """

    def __init__(
        self,
        transforms: Iterable[AutoregressiveTransform],
        theta_dim: int,
        x_dim: int,
        support: Constraint,
        squash: bool,
    ) -> None:
        """Store the transforms.

        Args:
            transforms: from theta towards noise.
            theta_dim: parameters.
            x_dim: features of x.
            support: of the prior.
            squash: pass standardised x through asinh.
        """
        super().__init__(theta_dim, x_dim, support, squash)
        self.transforms = nn.ModuleList(transforms)

    @abstractmethod
    def conditioned(self, weights: MADEWeights, context: Tensor) -> ConditionedTransform:
        """Return one transform at observations whose context layer is given, (batch, hidden)."""

    def forward(self, x: Tensor) -> FlowPosterior:
        """Return q(theta | x) for raw x, shape (batch, x_dim)."""
        standard = self.standardize(x)
        transforms = tuple(
            self.conditioned(weights, context_hidden(weights, standard))
            for weights in self.made_weights()
        )
        return FlowPosterior(self.theta_map, transforms, len(x))

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

    def _transforms(self) -> Iterator[AutoregressiveTransform]:
        return cast(Iterator[AutoregressiveTransform], iter(self.transforms))
