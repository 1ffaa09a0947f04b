"""Hamiltonian Monte Carlo (Neal, 2011) with an adapted step size (Hoffman and Gelman, 2014)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from certibayes.bnn.base import ModelBuilder, PerExample, Step, WeightSamples
from certibayes.bnn.chain_record import ChainRecord
from certibayes.bnn.dual_averaging import DualAveraging
from certibayes.bnn.network_inference import NetworkInference, assign
from certibayes.bnn.potential import Potential
from certibayes.bnn.predictive import Predictive
from certibayes.bnn.prior import GaussianPrior, median_of, standard_normal
from certibayes.bnn.trajectory import trajectory
from certibayes.config.inference import HMCInference


class HMC(NetworkInference):
    """Chains whose draws have the density exp(-U).

    U = -likelihood_power * sum_i objective_i - log p(w), over all training pairs, the objective at
    full strength. The step size, in units of the prior's std, is shared by all chains and adapted
    during the warm-up to the mean of their acceptance probabilities. Of the trajectories after it,
    evenly spaced ones are stored.
    """

    full_batch = True
    passing = ("record", "adaptation")

    def __init__(
        self, network: nn.Module, spec: HMCInference, as_model: ModelBuilder = Predictive
    ) -> None:
        """Start around the network's weights; the network is then frozen.

        Args:
            network: maps x to logits (or to what `as_model` needs).
            spec: hyper-parameters.
            as_model: makes the conditional model from the network and weight samples.
        """
        super().__init__(network, as_model)
        self.spec = spec
        self.prior = GaussianPrior(spec.prior_std, spec.prior_fan_in)
        self.position = nn.ParameterList(self._like_network(spec.chains))
        kept = spec.stored_samples // spec.chains
        self.record = ChainRecord(self._initial, spec.chains, kept)
        self.register_buffer("adaptation", torch.zeros(4, dtype=torch.float64))
        self.reset(torch.Generator())

    @torch.no_grad()
    def reset(self, generator: torch.Generator) -> None:
        """Set every chain to the network's weights plus noise of std `initial_std`."""
        for position, weight in zip(self.position, self._initial, strict=True):
            noise = standard_normal(position, generator)
            position.copy_(weight + self.spec.initial_std * noise)
        self.begin()

    def begin(self) -> None:
        """Forget the draws and adapt the step size anew."""
        self.record.clear()
        self._step_size.start()

    def loss(self, per_example: PerExample, examples: int, generator: torch.Generator) -> Tensor:
        """Return minus the log posterior per example, the mean over chains."""
        losses = []
        for chain in range(self.spec.chains):
            weights = self._chain(chain)
            share = self.prior.energy(weights) / (self.spec.likelihood_power * examples)
            losses.append(share - per_example(self._at(weights)).mean())
        return torch.stack(losses).mean()

    def update(self, batches: Sequence[PerExample], step: Step) -> Tensor:
        """Take one trajectory of every chain; return the mean of U / (likelihood_power * N).

        Raises:
            ValueError: if the training is too short for the draws to be stored.
        """
        spec = self.spec
        warmup = spec.warmup_of(step.total)
        self._require_room(step.total - warmup)
        adapting = step.number < warmup
        size = self._step_size.exploring if adapting else self._step_size.adapted
        potential = Potential(self._at, self.prior, batches, spec.likelihood_power)
        moves = [
            trajectory(potential, self._chain(c), size, self._length(step), step.generator)
            for c in range(spec.chains)
        ]
        if adapting:
            self._step_size.observe(sum(move.acceptance for move in moves) / spec.chains)
        else:
            self.record.keep(moves, step.number - warmup, step.total - warmup)
        self.record.count(moves, afresh=step.number == warmup)
        for chain, move in enumerate(moves):
            assign(self._chain(chain), move.weights)
        mean = sum(move.potential for move in moves) / spec.chains
        return torch.tensor(mean / (spec.likelihood_power * step.examples))

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> WeightSamples:
        """Return n stored draws, repeated in order where there are fewer, else chosen at random.

        Before all are stored, and in a model that was loaded, they are where the chains are.
        """
        source = self._found()
        stored = len(source[0])
        order = torch.arange(n) % stored
        if n < stored:
            order = torch.randperm(stored, generator=generator)[:n]
        return self._named(values[order.to(values.device)].clone() for values in source)

    @property
    def stored_samples(self) -> int:
        """Number of draws stored, from the specification."""
        return self.spec.stored_samples

    def diagnostics(self) -> dict[str, float]:
        """Return the adapted step size, acceptance, divergences and, at the end, split R-hat.

        `posterior_std` is the median std of the stored draws, before they are complete of where
        the chains are now.
        """
        found = {
            "step_size": self._step_size.adapted,
            "posterior_std": median_of([values.std(0) for values in self._found()]),
        }
        return found | self.record.diagnostics()

    def rate(self, step: Step) -> None:
        """Return None: trajectories have a step size instead."""

    @property
    def _step_size(self) -> DualAveraging:
        spec = self.spec
        state = self.get_buffer("adaptation")
        return DualAveraging(state, spec.initial_step_size, spec.target_acceptance)

    def _found(self) -> list[Tensor]:
        """Return the stored draws, or while there are too few the chains: shape (n, *weight)."""
        return self.record.stored() if self.record.complete else list(self.position)

    def _chain(self, chain: int) -> list[Tensor]:
        return [position[chain] for position in self.position]

    def _length(self, step: Step) -> int:
        most = self.spec.leapfrog_steps
        return int(torch.randint(max(most // 2, 1), most + 1, (), generator=step.generator))

    def _require_room(self, trajectories: int) -> None:
        needed = self.spec.stored_samples // self.spec.chains
        if trajectories < needed:
            raise ValueError(
                f"training.epochs: got {trajectories} trajectories after the warm-up; "
                f"allowed: at least stored_samples / chains = {needed}"
            )
