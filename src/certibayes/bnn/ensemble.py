"""Ensembles of maxima a posteriori (Lakshminarayanan et al., 2017; Pearce et al., 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from certibayes.bnn.base import Batch, ModelBuilder, PerExample, WeightSamples
from certibayes.bnn.network_inference import NetworkInference, assign, fixed
from certibayes.bnn.predictive import Predictive
from certibayes.bnn.prior import GaussianPrior, median_of
from certibayes.config.inference import EnsembleInference
from certibayes.seeding import generator as named_generator


class Ensemble(NetworkInference):
    """Members w_k, each a maximum a posteriori of its own.

    loss = mean over k of -mean objective at w_k - log p(w_k - a_k) / (likelihood_power * N), with
    anchors a_k drawn from the prior, or 0. `perturbation` changes the objective of every
    member: own noise on the targets, or own weights of the examples; both fixed for a training.
    Member 0 starts at the network's weights, the others at the same numbers, shuffled within every
    parameter: initial weights of the same distribution, whatever it is.
    """

    def __init__(
        self, network: nn.Module, spec: EnsembleInference, as_model: ModelBuilder = Predictive
    ) -> None:
        """Start at the network's weights, shuffled; the network is then frozen.

        Args:
            network: maps x to logits (or to what `as_model` needs).
            spec: hyper-parameters.
            as_model: makes the conditional model from the network and weight samples.
        """
        super().__init__(network, as_model)
        self.spec = spec
        self.prior = GaussianPrior(spec.prior_std, spec.prior_fan_in)
        members = range(spec.stored_samples)
        self.members = nn.ModuleList(nn.ParameterList(self._like_network()) for _ in members)
        self.anchors = nn.ModuleList(fixed(self._like_network()) for _ in members)
        self._drawn: tuple[tuple[int, int], list[Tensor]] | None = None
        self.reset(torch.Generator())

    def reset(self, generator: torch.Generator) -> None:
        """Set the members to the network's weights, shuffled, and draw the anchors."""
        for number, (member, anchor) in enumerate(zip(self.members, self.anchors, strict=True)):
            initial = self._initial
            if number > 0:
                initial = [_shuffled(weight, generator) for weight in initial]
            assign(_list(member), initial)
            if self.spec.anchored:
                assign(_list(anchor), self.prior.draw(initial, generator))

    def loss(self, per_example: PerExample, examples: int, generator: torch.Generator) -> Tensor:
        """Return the mean over members of minus the log posterior per example, estimated.

        Raises:
            TypeError: if a perturbation does not know which examples the batch holds, or noise is
                to be added to labels.
        """
        losses = []
        for number, (member, anchor) in enumerate(zip(self.members, self.anchors, strict=True)):
            weights = _list(member)
            apart = [w - a for w, a in zip(weights, _list(anchor), strict=True)]
            share = self.prior.energy(apart) / (self.spec.likelihood_power * examples)
            objective = self._objective(number, per_example, self._at(weights), examples)
            losses.append(share - objective.mean())
        return torch.stack(losses).mean()

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> WeightSamples:
        """Return n members: all in order, repeated where there are fewer, else chosen at random."""
        count = self.stored_samples
        order = torch.arange(n) % count
        if n < count:
            order = torch.randperm(count, generator=generator)[:n]
        chosen = [_list(self.members[int(k)]) for k in order]
        return self._named(torch.stack(w) for w in zip(*chosen, strict=True))

    @property
    def stored_samples(self) -> int:
        """Number of members."""
        return self.spec.stored_samples

    @torch.no_grad()
    def diagnostics(self) -> dict[str, float]:
        """Return the median over weights of the members' std."""
        members = zip(*(_list(member) for member in self.members), strict=True)
        return {"posterior_std": median_of([torch.stack(values).std(0) for values in members])}

    def perturbation(self, target: Tensor, examples: int, seed: int) -> list[Tensor]:
        """Return every member's noise or weights of all N examples, drawn from the seed.

        Args:
            target: some targets, which tell the shape of one.
            examples: N.
            seed: of the training.

        Returns:
            Per member noise of the targets' shape, (N, *target shape), or weights, shape (N,).
        """
        if self._drawn is None or self._drawn[0] != (seed, examples):
            source = named_generator(seed, "perturbation")
            spec, drawn = self.spec, []
            for _ in range(spec.stored_samples):
                if spec.perturbation == "weights":
                    drawn.append(torch.empty(examples).exponential_(generator=source))
                else:
                    shape = (examples, *target.shape[1:])
                    noise = torch.randn(shape, generator=source, dtype=target.dtype)
                    drawn.append(spec.target_noise_std * noise)
            self._drawn = ((seed, examples), drawn)
        return self._drawn[1]

    def _objective(
        self, member: int, per_example: PerExample, model: nn.Module, examples: int
    ) -> Tensor:
        kind = self.spec.perturbation
        if kind == "none":
            return per_example(model)
        if not isinstance(per_example, Batch):
            raise TypeError(f"per_example: got {type(per_example).__name__}; allowed: Batch")
        target = per_example.target
        if kind == "targets" and not target.is_floating_point():
            raise TypeError(
                "inference.perturbation: got 'targets'; allowed with labels: none, weights"
            )
        own = self.perturbation(target, examples, per_example.seed)[member][per_example.numbers]
        if kind == "weights":
            objective = per_example(model)
            return objective * own.to(objective)
        return per_example.objective(model, target + own.to(target))


def _list(parameters: nn.Module) -> list[Tensor]:
    return list(parameters.parameters())


def _shuffled(weight: Tensor, generator: torch.Generator) -> Tensor:
    order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
    return weight.flatten()[order].view_as(weight)
