"""The networks inside nflows' transforms as nodes of a graph, for linear bounds."""

from __future__ import annotations

from typing import Any

import torch
from nflows.nn.nets.resnet import ResidualNet
from nflows.transforms.made import MADE, MaskedFeedforwardBlock, MaskedLinear
from torch import Tensor, nn
from torch.nn import functional

from certibayes.bounds.graph import Node
from certibayes.bounds.graph_rules import apply, enclosed, tightened
from certibayes.bounds.graph_rules_activations import sigmoid_lines
from certibayes.bounds.nodes import Product, Shifted, Sum
from certibayes.estimators.density_nodes import affine_node
from certibayes.estimators.foreign import ForeignNetworkError

ACTIVATIONS: dict[Any, nn.Module] = {
    torch.relu: nn.ReLU(),
    functional.relu: nn.ReLU(),
    torch.tanh: nn.Tanh(),
    functional.tanh: nn.Tanh(),
    torch.sigmoid: nn.Sigmoid(),
    functional.sigmoid: nn.Sigmoid(),
    functional.silu: nn.SiLU(),
    functional.gelu: nn.GELU(),
}
"""Functions that nflows' networks are given, and the modules whose bound rules hold for them."""


def made_hidden_node(made: MADE, conditions: Node, u: Node | Tensor) -> Node:
    """Return a MADE's last hidden layer, values of shape (*, batch, hidden).

    Args:
        made: with feedforward blocks.
        conditions: what it is conditioned on, shape (batch, features).
        u: its inputs, shape (*, batch, d); a tensor where they are fixed.

    Raises:
        ForeignNetworkError: if a part is not known.
    """
    context = activated(made.activation, linear_node(conditions, made.context_layer))
    weight, bias = masked(made.initial_layer)
    hidden = activated(made.activation, plus(context, u, weight, bias))
    for block in made.blocks:
        if type(block) is not MaskedFeedforwardBlock:
            raise ForeignNetworkError(f"module: got {type(block).__name__} in a MADE, no bound")
        if block.batch_norm is not None:
            raise ForeignNetworkError("module: got BatchNorm1d in a MADE, no bound")
        hidden = activated(block.activation, affine_node(hidden, *masked(block.linear)))
    return hidden


def residual_hidden_node(net: ResidualNet, conditions: Node, u: Node | Tensor) -> Node:
    """Return a conditioned ResidualNet's last hidden layer, values of shape (*, batch, hidden).

    Arguments and errors as `made_hidden_node`.
    """
    d = u.shape[-1] if isinstance(u, Tensor) else u.feature_shape[-1]
    first = net.initial_layer
    hidden: Node = plus(
        affine_node(conditions, first.weight[:, d:], first.bias),
        u,
        first.weight[:, :d],
        torch.zeros_like(first.bias),
    )
    for block in net.blocks:
        if block.use_batch_norm:
            raise ForeignNetworkError("module: got BatchNorm1d in a ResidualNet, no bound")
        inside = hidden
        for layer in block.linear_layers:
            inside = linear_node(activated(block.activation, inside), layer)
        tightened(inside)
        gate = enclosed(
            linear_node(conditions, block.context_layer),
            lambda over: over.increasing(torch.sigmoid),
            sigmoid_lines,
        )
        hidden = Sum(hidden, Product(inside, gate))
    return hidden


def linear_node(node: Node, layer: nn.Linear) -> Node:
    """Return W t + b of a plain linear layer."""
    return affine_node(node, layer.weight, layer.bias)


def plus(node: Node, u: Node | Tensor, weight: Tensor, bias: Tensor) -> Node:
    """Return the node plus W u + b; u a tensor where it is fixed."""
    if isinstance(u, Tensor):
        return Shifted(node, functional.linear(u, weight, bias))
    return Sum(node, affine_node(u, weight, bias))


def masked(layer: MaskedLinear) -> tuple[Tensor, Tensor]:
    """Return weight and bias with the mask applied."""
    return layer.weight * layer.mask, layer.bias


def activated(activation: Any, node: Node) -> Node:
    """Return an activation of a node.

    Raises:
        ForeignNetworkError: if it is not known.
    """
    module = activation if isinstance(activation, nn.Module) else ACTIVATIONS.get(activation)
    if module is None:
        name = getattr(activation, "__name__", type(activation).__name__)
        raise ForeignNetworkError(f"module: got the activation {name}, no bound")
    return apply(module, node)
