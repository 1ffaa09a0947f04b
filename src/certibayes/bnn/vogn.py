"""Variational online Gauss-Newton (Khan et al., 2018), positive by Lin et al. (2020)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from certibayes.bnn.base import Batch, ModelBuilder, PerExample
from certibayes.bnn.natural_gradient import NaturalGradient
from certibayes.bnn.predictive import Predictive
from certibayes.bnn.squared_gradients import from_every_example, from_random_signs
from certibayes.config.inference import VOGNInference


class VOGN(NaturalGradient[VOGNInference]):
    """Natural-gradient variational inference with one of four curvatures per example.

    `sampled`: h = mean over examples of squared per-example gradients at targets that the model at
    the drawn weights draws itself; of a log-likelihood the expectation is the diagonal of the
    Fisher information, which is the Gauss-Newton matrix (Martens, 2020), whatever the data.
    `signs` and `per_example`: the same at the data's targets, in place of the Gauss-Newton matrix,
    exact where residuals have unit variance. Neither is ever negative.
    `reparametrized`: h = g * (w - mean) * precision, whose expectation over w ~ q is that of the
    Hessian's diagonal, exact for any objective; it may be negative, and the precision follows
    precision * (1 + z + z^2 / 2) with z = b (N h / lambda + delta - precision) / precision instead.
    """

    def __init__(
        self, network: nn.Module, spec: VOGNInference, as_model: ModelBuilder = Predictive
    ) -> None:
        """Start at the network's weights with std `initial_std`; the network is then frozen.

        Args:
            network: maps x to logits (or to what `as_model` needs).
            spec: hyper-parameters.
            as_model: makes the conditional model from the network and weight samples.
        """
        super().__init__(network, spec, as_model)

    def _curvature(
        self,
        batch: PerExample,
        objective: Tensor,
        weights: Sequence[Tensor],
        gradient: Sequence[Tensor],
        generator: torch.Generator,
    ) -> list[Tensor]:
        if self.spec.curvature == "sampled":
            sampled = self._at_own_targets(batch, weights, generator)
            return from_random_signs(sampled, weights, generator)
        if self.spec.curvature == "per_example":
            return from_every_example(objective, weights)
        if self.spec.curvature == "signs":
            return from_random_signs(objective, weights, generator)
        state = zip(gradient, weights, self.mean, self.precision, strict=True)
        return [(g * (w - m) * precision).detach() for g, w, m, precision in state]

    def _at_own_targets(
        self, batch: PerExample, weights: Sequence[Tensor], generator: torch.Generator
    ) -> Tensor:
        """Return the objectives of targets that the model draws, shape (batch,)."""
        if not isinstance(batch, Batch):
            raise TypeError(f"batch: got {type(batch).__name__}; allowed: Batch")
        model = self._at(weights)
        with torch.no_grad():
            target = batch.draw(model, generator)
        return batch.objective(model, target)

    def _next_precision(self, precision: Tensor, target: Tensor, weight: float) -> Tensor:
        if self.spec.curvature != "reparametrized":
            return super()._next_precision(precision, target, weight)
        z = weight * (target - precision) / precision
        return precision * (1 + z + z**2 / 2)
