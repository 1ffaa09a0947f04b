"""What autoregressive flows share: transforms with features reversed between them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import cast

import torch
from nflows.transforms.autoregressive import AutoregressiveTransform
from torch import Tensor, nn
from torch.distributions.constraints import Constraint

from certibayes.config.embeddings import AnyEmbedding
from certibayes.estimators.autoregressive import ConditionedTransform
from certibayes.estimators.base import Estimator
from certibayes.estimators.made import MADEWeights, context_hidden
from certibayes.estimators.posterior import BijectivePosterior
from certibayes.estimators.theta_map import ThetaMap


class FlowPosterior(BijectivePosterior):
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
        embedding: AnyEmbedding | None = None,
    ) -> None:
        """Store the transforms.

        Args:
            transforms: from theta towards noise.
            theta_dim: parameters.
            x_dim: features of x.
            support: of the prior.
            squash: pass standardised x through asinh.
            embedding: of standardised x; None = x itself.
        """
        super().__init__(theta_dim, x_dim, support, squash, embedding)
        self.transforms = nn.ModuleList(transforms)
        self._shared: list[MADEWeights] | None = None

    @abstractmethod
    def conditioned(self, weights: MADEWeights, context: Tensor) -> ConditionedTransform:
        """Return one transform at observations whose context layer is given, (batch, hidden)."""

    def forward(self, x: Tensor) -> FlowPosterior:
        """Return q(theta | x) for raw x, shape (batch, x_dim)."""
        conditions = self.condition(x)
        transforms = tuple(
            self.conditioned(weights, context_hidden(weights, conditions))
            for weights in self.made_weights()
        )
        return FlowPosterior(self.theta_map, transforms, len(x))

    def made_weights(self) -> list[MADEWeights]:
        """Return the masked, ordered weights of every transform; see `weights_once`."""
        if self._shared is not None:
            return self._shared
        return [transform.autoregressive_net.weights() for transform in self._transforms()]

    @contextmanager
    def shared_weights(self) -> Iterator[None]:
        """Mask and order the weights once for all passes inside; they must not change there.

        They are differentiable if gradients are on at the start.
        """
        before, self._shared = self._shared, None
        try:
            self._shared = self.made_weights()
            yield
        finally:
            self._shared = before

    def reference_normalize(self, v: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return noise and log |det| by nflows' own forward passes; v and x of shape (batch, .)."""
        conditions = self.condition(x)
        log_det = torch.zeros(len(v)).to(v)
        for position, transform in enumerate(self._transforms()):
            v, more = transform(v.flip(-1) if position else v, conditions)
            log_det = log_det + more
        return v, log_det

    def _transforms(self) -> Iterator[AutoregressiveTransform]:
        return cast(Iterator[AutoregressiveTransform], iter(self.transforms))


@contextmanager
def weights_once(model: object) -> Iterator[None]:
    """Prepare the weights of every flow in a model once for all passes inside.

    Gradients of the passes reach the weights if they are on at the start. A model without flows is
    left alone.
    """
    with ExitStack() as stack:
        if isinstance(model, nn.Module):
            for module in model.modules():
                if isinstance(module, FlowEstimator):
                    stack.enter_context(module.shared_weights())
        yield
