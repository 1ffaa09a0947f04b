"""How many observations an ensemble of weight samples is run on at once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from certibayes.bnn.predictive import Predictive

ENTRIES_AT_ONCE = 2**24
"""Numbers that the widest layer of one block may give: 128 MiB of float64."""


def rows_at_once(model: Predictive, x: Tensor, entries: int = ENTRIES_AT_ONCE) -> int:
    """Return for how many rows the widest layer gives at most `entries` numbers, at least 1.

    Counted over all weight samples, so that memory grows with none of network, samples and rows.

    Args:
        model: the ensemble.
        x: observations, shape (batch, x_dim), at least one.
        entries: the limit.
    """
    return max(1, entries // (model.samples * _widest(model.network, x[:1])))


@torch.no_grad()
def _widest(network: nn.Module, x: Tensor) -> int:
    """Return the most numbers that x, one row, or any layer's output at it consists of."""
    sizes = [x.numel()]

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        sizes.append(output.numel())

    layers = [module for module in network.modules() if not list(module.children())]
    handles = [layer.register_forward_hook(note) for layer in layers]
    try:
        network(x)
    finally:
        for handle in handles:
            handle.remove()
    return max(sizes)
