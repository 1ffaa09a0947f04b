"""Mean-field Gaussian weights by natural-gradient steps (Khan et al., 2018; Zhang et al., 2018)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from certibayes.bnn.base import ModelBuilder, PerExample, Step, WeightSamples
from certibayes.bnn.network_inference import NetworkInference, assign, fixed
from certibayes.bnn.prior import GaussianPrior, median_of, standard_normal
from certibayes.clipping import clip_norm
from certibayes.config.inference import NaturalGradient as NaturalGradientSpec

S = TypeVar("S", bound=NaturalGradientSpec)


class NaturalGradient(NetworkInference, ABC, Generic[S]):
    """q(w) = N(mean, 1 / precision) per weight.

    With g the gradient of minus the mean objective at w ~ q, h the curvature per example that a
    subclass defines, delta = 1 / prior_std^2, lambda = kl_weight, b = precision_rate (or what the
    number of steps makes of it) and rate = mean_rate times the share of the schedule:

        precision <- precision + b (N h / lambda + delta - precision)
        mean      <- mean - rate * G / (precision + N damping / lambda)

    where G averages N g / lambda + delta * mean over steps with weight `momentum` on the past, its
    start corrected for. The gradient g is clipped, the curvature is not. At a fixed point the
    mean zeroes the gradient of the evidence lower bound.
    """

    def __init__(self, network: nn.Module, spec: S, as_model: ModelBuilder) -> None:
        """Start at the network's weights with std `initial_std`; the network is then frozen."""
        super().__init__(network, as_model)
        self.spec = spec
        self.prior = GaussianPrior(spec.prior_std, spec.prior_fan_in)
        self.mean = nn.ParameterList(self._like_network())
        self.precision = fixed(self._like_network())
        self.average = fixed(self._like_network())
        self.register_buffer("remembered", torch.ones((), dtype=torch.float64))
        self.reset(torch.Generator())

    @abstractmethod
    def _curvature(
        self,
        batch: PerExample,
        objective: Tensor,
        weights: Sequence[Tensor],
        gradient: Sequence[Tensor],
        generator: torch.Generator,
    ) -> list[Tensor]:
        """Return the curvature per example at drawn weights, shapes of the weights.

        Args:
            batch: the minibatch.
            objective: of every example, shape (batch,), with its graph.
            weights: drawn from q.
            gradient: of minus the mean objective.
            generator: source of any draws.
        """

    @torch.no_grad()
    def reset(self, generator: torch.Generator) -> None:
        """Set the means to the network's weights and every std to `initial_std`."""
        assign(self.mean, self._initial)
        for precision in self.precision:
            precision.fill_(self.spec.initial_std**-2)
        self.begin()

    @torch.no_grad()
    def begin(self) -> None:
        """Forget the averaged gradient; the precision is all memory."""
        self.get_buffer("remembered").fill_(1.0)
        for average in self.average:
            average.zero_()

    def loss(self, per_example: PerExample, examples: int, generator: torch.Generator) -> Tensor:
        """Return the negative evidence lower bound per example, estimated."""
        objectives = [
            per_example(self._at(self._drawn(generator))).mean()
            for _ in range(self.spec.train_samples)
        ]
        return self.spec.kl_weight * self.kl() / examples - torch.stack(objectives).mean()

    def update(self, batches: Sequence[PerExample], step: Step) -> Tensor:
        """Take a natural-gradient step; return the negative evidence lower bound per example."""
        draws = self.spec.train_samples
        gradients, curvatures = self._like_network(), self._like_network()
        loss = self.spec.kl_weight * self.kl().detach() / step.examples
        for _ in range(draws):
            weights = [w.detach().requires_grad_() for w in self._drawn(step.generator)]
            objective = batches[0](self._at(weights))
            mean = -objective.mean()
            step.require_finite("train/loss", mean)
            gradient = torch.autograd.grad(mean, weights, retain_graph=True)
            curvature = self._curvature(batches[0], objective, weights, gradient, step.generator)
            loss = loss + mean.detach() / draws
            for total, part in zip([*gradients, *curvatures], [*gradient, *curvature], strict=True):
                total.add_(part, alpha=1 / draws)
        clip_norm(gradients, step.gradient_clip, step.place)
        self._move(gradients, curvatures, step)
        return loss

    def kl(self) -> Tensor:
        """Return KL(q || p) in nats, summed over weights."""
        return self.prior.kl(list(self.mean), self._stds())

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> WeightSamples:
        """Draw n weight vectors from q, without gradient."""
        stacked = []
        for mean, std in zip(self.mean, self._stds(), strict=True):
            noise = standard_normal(mean.expand(n, *mean.shape), generator)
            stacked.append(mean + std * noise)
        return self._named(stacked)

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
        """Return KL(q || p), the median std of all weights and what the precision remembers.

        `precision_memory` is the share of the precision from before the training in that of now.
        """
        return {
            "kl": float(self.kl()),
            "posterior_std": median_of(self._stds()),
            "precision_memory": float(self.get_buffer("remembered")),
        }

    def rate(self, step: Step) -> float:
        """Return the share of a Newton step that the mean takes."""
        return self.spec.mean_rate * step.share

    def _next_precision(self, precision: Tensor, target: Tensor, weight: float) -> Tensor:
        """Return the precision after a step of a weight to the target; positive if that is."""
        return precision + weight * (target - precision)

    def _stds(self) -> list[Tensor]:
        return [precision.rsqrt() for precision in self.precision]

    def _drawn(self, generator: torch.Generator) -> list[Tensor]:
        """Return one weight vector; gradients pass to the mean."""
        return [
            mean + std * standard_normal(mean, generator)
            for mean, std in zip(self.mean, self._stds(), strict=True)
        ]

    @torch.no_grad()
    def _move(self, gradients: list[Tensor], curvatures: list[Tensor], step: Step) -> None:
        spec = self.spec
        weight = step.examples / spec.kl_weight
        present = spec.precision_rate_of(step.total)
        self.get_buffer("remembered").mul_(1 - present)
        corrected = 1 - spec.momentum ** (step.number + 1)
        state = zip(self.mean, self.precision, self.average, strict=True)
        for values, gradient, curvature in zip(state, gradients, curvatures, strict=True):
            mean, precision, average = values
            delta = self.prior.std_of(mean) ** -2
            average.lerp_(weight * gradient + delta * mean, 1 - spec.momentum)
            target = weight * curvature + delta
            precision.copy_(self._next_precision(precision, target, present))
            divisor = precision + weight * spec.damping
            mean.sub_(self.rate(step) / corrected * average / divisor)
