"""Statistics of batch normalizations, estimated from clean examples and drawn weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from certibayes.bnn.base import WeightInference
from certibayes.bnn.fixed_statistics import NORMALIZATIONS

ACTIVATIONS = 512
"""Pairs of a weight vector and an example that an estimate rests on, about."""
MOST_DRAWS = 8
"""Weight vectors that it rests on, at most."""


def normalizations(inference: WeightInference) -> bool:
    """Return whether the network of a weight inference has batch normalization."""
    return any(isinstance(module, NORMALIZATIONS) for module in inference.modules())


def estimated(inference: WeightInference) -> bool:
    """Return whether all statistics have been estimated before, e.g. by the training of a base."""
    found = (module for module in inference.modules() if isinstance(module, NORMALIZATIONS))
    return all(
        module.num_batches_tracked is None or int(module.num_batches_tracked) > 0
        for module in found
    )


def draws_of(inference: WeightInference) -> int:
    """Return how many weight vectors an estimate rests on."""
    return min(inference.stored_samples, MOST_DRAWS)


@torch.no_grad()
def estimate_statistics(inference: WeightInference, x: Tensor, generator: torch.Generator) -> None:
    """Set the statistics of every batch normalization to those of its inputs, one after the other.

    Mean and variance of every channel are taken over examples, positions and weight vectors drawn
    from the present posterior together, behind normalizations that are estimated already: one set
    for all draws, no random quantity, part of the architecture.

    Args:
        inference: owner of weights and network.
        x: clean raw observations, shape (examples, x_dim), dealt out to the weight vectors.
        generator: source of the weight vectors.

    Raises:
        TypeError: if the network is no Sequential of layers with the normalizations among them.
    """
    network = _network_of(inference)
    draws = draws_of(inference)
    samples = inference.sample(draws, generator)
    hidden = list(x.chunk(draws))
    for position, layer in enumerate(network):
        prefix = f"{position}."
        own = {name: v for name, v in samples.items() if name.startswith(prefix)}
        if isinstance(layer, NORMALIZATIONS):
            _take_over(layer, hidden)
        elif any(isinstance(inner, NORMALIZATIONS) for inner in layer.modules()):
            raise TypeError(
                f"network.{position}: got {type(layer).__name__} around a batch normalization; "
                "allowed: batch normalizations that are layers of the network themselves"
            )
        hidden = [
            functional_call(layer, {name.removeprefix(prefix): v[s] for name, v in own.items()}, t)
            for s, t in enumerate(hidden)
        ]


def _network_of(inference: WeightInference) -> nn.Sequential:
    for name in ("network", "module"):
        network = getattr(inference, name, None)
        if isinstance(network, nn.Sequential):
            return network
    raise TypeError(
        f"network: got none in a {type(inference).__name__}; allowed: a Sequential of layers"
    )


def _take_over(layer: nn.Module, inputs: list[Tensor]) -> None:
    """Set the statistics of a normalization, which is put into evaluation mode."""
    rows = torch.cat([t.transpose(0, 1).flatten(1) for t in inputs], 1)
    layer.get_buffer("running_mean").copy_(rows.mean(1))
    layer.get_buffer("running_var").copy_(rows.var(1, correction=0))
    layer.get_buffer("num_batches_tracked").add_(1)
    layer.eval()
