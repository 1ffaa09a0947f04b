"""Stochastic weight averaging, Gaussian (Maddox et al., 2019)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from certibayes.bnn.base import ModelBuilder, PerExample, Step, WeightSamples
from certibayes.bnn.network_inference import NetworkInference, assign, fixed
from certibayes.bnn.predictive import Predictive
from certibayes.bnn.prior import GaussianPrior, median_of, standard_normal
from certibayes.clipping import clip_norm
from certibayes.config.inference import SWAGInference


class SWAG(NetworkInference):
    """The Gaussian of the iterates that SGD passes through at a constant rate.

    loss = -mean objective - log p(w) / (likelihood_power * N). The first `start` of the steps are
    Adam's; then come steps w <- w - collection_rate * (clipped gradient), of which `iterates`
    weight vectors are collected. With their mean m, variances v (per weight) and the columns D of
    the last K iterates, each minus the mean at its time:

        diagonal: w = m + sqrt(v) z
        low_rank: w = m + sqrt(v / 2) z + D u / sqrt(2 (K - 1))

    z and u standard normal. Before two iterates are collected, samples are the weights of now.
    """

    def __init__(
        self, network: nn.Module, spec: SWAGInference, as_model: ModelBuilder = Predictive
    ) -> None:
        """Start at the network's weights; the network is then frozen.

        Args:
            network: maps x to logits (or to what `as_model` needs).
            spec: hyper-parameters.
            as_model: makes the conditional model from the network and weight samples.
        """
        super().__init__(network, as_model)
        self.spec = spec
        self.prior = GaussianPrior(spec.prior_std, spec.prior_fan_in)
        self.columns = spec.rank if spec.covariance == "low_rank" else 0
        self.weights = nn.ParameterList(self._like_network())
        self.average = fixed(self._like_network())
        self.squares = fixed(self._like_network())
        self.deviations = fixed(self._like_network(self.columns))
        self.register_buffer("collected", torch.zeros((), dtype=torch.int64))
        self.reset(torch.Generator())

    def reset(self, generator: torch.Generator) -> None:
        """Set the weights to the network's."""
        assign(self.weights, self._initial)
        self.begin()

    @torch.no_grad()
    def begin(self) -> None:
        """Forget the iterates."""
        for state in (*self.average, *self.squares, *self.deviations, self._count):
            state.zero_()

    def loss(self, per_example: PerExample, examples: int, generator: torch.Generator) -> Tensor:
        """Return minus the log posterior per example, estimated."""
        weights = list(self.weights)
        share = self.prior.energy(weights) / (self.spec.likelihood_power * examples)
        return share - per_example(self._at(weights)).mean()

    def update(self, batches: Sequence[PerExample], step: Step) -> Tensor | None:
        """Leave the step to the trainer, or take one of SGD once iterates are collected.

        Raises:
            ValueError: if the training is too short for two iterates.
        """
        self._require_room(step)
        if step.number < self._start(step):
            return None
        loss = self.loss(batches[0], step.examples, step.generator)
        gradients = list(torch.autograd.grad(loss, list(self.weights)))
        clip_norm(gradients, step.gradient_clip, step.place)
        with torch.no_grad():
            for weight, gradient in zip(self.weights, gradients, strict=True):
                weight.sub_(gradient, alpha=self.spec.collection_rate)
        return loss.detach()

    def rate(self, step: Step) -> float:
        """Return the schedule's rate, or SGD's once iterates are collected."""
        return step.rate if step.number < self._start(step) else self.spec.collection_rate

    @torch.no_grad()
    def after_step(self, step: Step) -> None:
        """Collect the weights if it is time: evenly spaced, the last step included."""
        start = self._start(step)
        taken, steps = step.number + 1 - start, step.total - start
        wanted = min(self.spec.iterates, steps)
        if taken > 0 and taken * wanted // steps > (taken - 1) * wanted // steps:
            self._collect()

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> WeightSamples:
        """Draw n weight vectors, without gradient."""
        if int(self._count) < 2:
            return self._named(w.detach().expand(n, *w.shape).clone() for w in self.weights)
        share = 0.5 if self.columns else 1.0
        stacked = []
        for mean, variance in zip(self.average, self._variances(), strict=True):
            noise = standard_normal(mean.expand(n, *mean.shape), generator)
            stacked.append(mean + (share * variance).sqrt() * noise)
        if self.columns:
            kept = min(self.columns, int(self._count))
            weight = torch.randn(n, kept, generator=generator) / math.sqrt(2 * (kept - 1))
            for values, columns in zip(stacked, self.deviations, strict=True):
                values.add_(torch.tensordot(weight.to(columns), columns[:kept], 1))
        return self._named(stacked)

    @property
    def stored_samples(self) -> int:
        """Size of the ensemble, from the specification."""
        return self.spec.stored_samples

    @torch.no_grad()
    def diagnostics(self) -> dict[str, float]:
        """Return the number of iterates and, once there are two, their median std."""
        found = {"iterates": float(self._count)}
        if int(self._count) >= 2:
            found["posterior_std"] = median_of([v.sqrt() for v in self._variances()])
        return found

    @property
    def _count(self) -> Tensor:
        return self.get_buffer("collected")

    def _start(self, step: Step) -> int:
        return int(self.spec.start * step.total)

    def _require_room(self, step: Step) -> None:
        collecting = step.total - self._start(step)
        if collecting < 2:
            raise ValueError(
                f"training.epochs: got {step.total} steps altogether, {collecting} behind "
                f"inference.start = {self.spec.start}; allowed: at least 2, whose iterates differ"
            )

    def _collect(self) -> None:
        count = int(self._count)
        state = zip(self.weights, self.average, self.squares, self.deviations, strict=True)
        for weight, average, squares, deviations in state:
            before = weight - average
            average.add_(before / (count + 1))
            squares.add_(before * (weight - average))
            if self.columns:
                deviations[count % self.columns] = weight - average
        self._count.add_(1)

    def _variances(self) -> list[Tensor]:
        return [squares / (int(self._count) - 1) for squares in self.squares]
