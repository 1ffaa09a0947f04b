"""Stacks of linear layers with one activation between them."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from certibayes.config.embeddings import Activation

ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}


def dense_layers(widths: tuple[int, ...], activation: Activation) -> list[nn.Module]:
    """Return Linear layers of consecutive widths, the activation between, none after the last."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
    return layers[:-1]
