"""The predictive of a fixed, finite ensemble of weight vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.func import functional_call, vmap

from certibayes.bnn.base import WeightSamples
from certibayes.bnn.fixed_statistics import fix_statistics


class Predictive(nn.Module):
    """p(y | x) = mean over s of softmax(f(x; w_s))_y, the Monte Carlo posterior predictive.

    The samples are buffers, so `double()` and `state_dict` carry them. `network` lends its
    architecture and its buffers; its own parameters are not used. Batch normalization is that of
    the network's stored statistics, in training mode too, so that q(y | x) is a function of x.
    """

    def __init__(self, network: nn.Module, weight_samples: WeightSamples) -> None:
        """Hold weight samples for every parameter of the network.

        Args:
            network: maps x, shape (batch, x_dim), to logits, shape (batch, classes).
            weight_samples: parameter name -> values, shape (samples, *parameter shape).

        Raises:
            ValueError: if the names are not those of the network, the sizes differ, or a batch
                normalization stores no statistics.
        """
        super().__init__()
        expected = [name for name, _ in network.named_parameters()]
        if sorted(weight_samples) != sorted(expected):
            raise ValueError(f"weight_samples: got {sorted(weight_samples)}; allowed: {expected}")
        sizes = {len(values) for values in weight_samples.values()}
        if len(sizes) != 1 or 0 in sizes:
            raise ValueError(f"weight_samples: got {sorted(sizes)} samples; allowed: one size >= 1")
        fix_statistics(network)
        self.network = network
        self.samples = sizes.pop()
        self._names = tuple(expected)
        for name in self._names:
            self.register_buffer(_buffer_name(name), weight_samples[name])

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all modules but batch normalization."""
        super().train(mode)
        fix_statistics(self.network)
        return self

    @classmethod
    def empty(cls, network: nn.Module, samples: int) -> Predictive:
        """Return an ensemble of zeros to load a `state_dict` into."""
        shapes = {name: p.new_zeros(samples, *p.shape) for name, p in network.named_parameters()}
        return cls(network, shapes)

    @classmethod
    def joined(cls, parts: Sequence[Predictive]) -> Predictive:
        """Return the ensemble of all samples of several ensembles on one architecture.

        With as many samples in each, its predictive is the mean of theirs.

        Args:
            parts: at least one.

        Raises:
            ValueError: if two parts differ in their sizes or in a buffer of their networks: a
                predictive holds one copy of those.
        """
        first = parts[0]
        buffers = dict(first.network.named_buffers())
        for position, part in enumerate(parts):
            if part.samples != first.samples:
                raise ValueError(
                    f"parts.{position}: got {part.samples} samples; allowed: {first.samples}"
                )
            for name, value in part.network.named_buffers():
                if not torch.equal(value, buffers[name]):
                    raise ValueError(f"parts.{position}.{name}: differs from the first part's")
        names = first.weight_samples
        return cls(
            first.network,
            {name: torch.cat([part.weight_samples[name] for part in parts]) for name in names},
        )

    @property
    def weight_samples(self) -> WeightSamples:
        """Parameter name -> values, shape (samples, *parameter shape)."""
        return {name: self.get_buffer(_buffer_name(name)) for name in self._names}

    def weights(self, sample: int) -> dict[str, Tensor]:
        """Return one weight vector: parameter name -> values of the parameter's shape."""
        return {name: values[sample] for name, values in self.weight_samples.items()}

    def sample_logits(self, x: Tensor) -> Tensor:
        """Return the logits of every sample at raw x, shape (samples, batch, classes)."""

        def logits(weights: dict[str, Tensor]) -> Tensor:
            output: Tensor = functional_call(self.network, weights, (x,))
            return output

        stacked: Tensor = vmap(logits)(self.weight_samples)
        return stacked

    def forward(self, x: Tensor) -> Categorical:
        """Return the mean predictive at raw x, shape (batch, x_dim); batch shape (batch,)."""
        log_probability = self.sample_logits(x).log_softmax(-1)
        mean = torch.logsumexp(log_probability, 0) - math.log(self.samples)
        return Categorical(logits=mean, validate_args=False)


def _buffer_name(parameter: str) -> str:
    return "sample/" + parameter.replace(".", "/")
