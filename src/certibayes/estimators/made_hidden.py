"""The last hidden layer of a MADE over a ball around x: its intervals and its node."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from certibayes.bounds import Interval, Region
from certibayes.bounds.affine import affine
from certibayes.bounds.graph import Input, Node
from certibayes.bounds.graph_rules import enclosed
from certibayes.bounds.nodes import Shifted, Sum
from certibayes.bounds.relaxations import leaky_relu
from certibayes.estimators.density_nodes import affine_node
from certibayes.estimators.made import MADEWeights


def hidden_bounds(weights: MADEWeights, region: Region, u: Interval | Tensor) -> Interval:
    """Return bounds of the last hidden layer, shape (*, batch, hidden).

    Args:
        weights: of the MADE.
        region: of what it is conditioned on, shape (batch, features); bounded once for all u.
        u: its inputs, shape (*, batch, d); a tensor where they are fixed.
    """
    inputs = (
        functional.linear(u, *weights.initial)
        if isinstance(u, Tensor)
        else affine(u, *weights.initial)
    )
    hidden = (affine(region, *weights.context).increasing(torch.relu) + inputs).increasing(
        torch.relu
    )
    for layer in weights.blocks:
        hidden = affine(hidden, *layer).increasing(torch.relu)
    return hidden


def context_node(weights: MADEWeights, conditions: Node, standardized: Input) -> Node:
    """Return what the context adds to the first hidden layer, values of shape (batch, hidden).

    Args:
        weights: of the MADE.
        conditions: what it is conditioned on, shape (batch, features).
        standardized: what that is computed from.
    """
    return standardized.once(weights, lambda: _relu(affine_node(conditions, *weights.context)))


def hidden_node(weights: MADEWeights, context: Node, u: Node | Tensor) -> Node:
    """Return the last hidden layer, values of shape (*, batch, hidden).

    Args:
        weights: of the MADE.
        context: as `context_node` returns it.
        u: its inputs, shape (*, batch, d); a tensor where they are fixed.
    """
    if isinstance(u, Tensor):
        hidden: Node = Shifted(context, functional.linear(u, *weights.initial))
    else:
        hidden = Sum(context, affine_node(u, *weights.initial))
    hidden = _relu(hidden)
    for block in weights.blocks:
        hidden = _relu(affine_node(hidden, *block))
    return hidden


def _relu(node: Node) -> Node:
    return enclosed(node, lambda over: over.increasing(torch.relu), leaky_relu)
