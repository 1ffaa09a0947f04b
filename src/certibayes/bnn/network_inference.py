"""What methods share whose weight vectors lie beside the network."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from certibayes.bnn.base import ModelBuilder, WeightInference, WeightSamples


class NetworkInference(WeightInference, ABC):
    """The network lends its architecture and, at a reset, its weights; it is frozen.

    Lists of tensors are in the order of the network's parameters.
    """

    def __init__(self, network: nn.Module, as_model: ModelBuilder) -> None:
        """Freeze the network.

        Args:
            network: maps x to logits (or to what `as_model` needs).
            as_model: makes the conditional model from the network and weight samples.
        """
        super().__init__()
        self.network = network.requires_grad_(False)
        self._as_model = as_model
        self._names = tuple(name for name, _ in network.named_parameters())

    def model(self, samples: WeightSamples) -> nn.Module:
        """Return the predictive of given weight samples."""
        return self._as_model(deepcopy(self.network), samples)

    @property
    def _initial(self) -> list[Tensor]:
        """The network's weights."""
        return list(self.network.parameters())

    def _at(self, weights: Iterable[Tensor]) -> nn.Module:
        """Return the conditional model at one weight vector; gradients pass through."""
        return self._as_model(self.network, self._named(w.unsqueeze(0) for w in weights))

    def _named(self, stacked: Iterable[Tensor]) -> WeightSamples:
        return dict(zip(self._names, stacked, strict=True))

    def _like_network(self, *leading: int) -> list[Tensor]:
        """Return zeros of the parameters' shapes behind leading dimensions."""
        return [w.new_zeros((*leading, *w.shape)) for w in self._initial]


def fixed(tensors: Sequence[Tensor]) -> nn.ParameterList:
    """Return tensors as state that is not trained."""
    return nn.ParameterList([nn.Parameter(t, requires_grad=False) for t in tensors])


@torch.no_grad()
def assign(state: Iterable[Tensor], values: Iterable[Tensor]) -> None:
    """Copy values into state of the same shapes."""
    for one, value in zip(state, values, strict=True):
        one.copy_(value)
