"""nflows' MADE written once for every kind of bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import torch
from nflows.transforms.made import MADE, MaskedFeedforwardBlock, MaskedResidualBlock
from torch import nn
from torch.nn import functional

from certibayes.bounds.rules import find_rule

Value = TypeVar("Value")
Block: TypeAlias = MaskedFeedforwardBlock | MaskedResidualBlock

ACTIVATIONS: dict[Callable[..., torch.Tensor], nn.Module] = {
    functional.relu: nn.ReLU(),
    functional.leaky_relu: nn.LeakyReLU(),
    functional.softplus: nn.Softplus(),
    functional.silu: nn.SiLU(),
    functional.gelu: nn.GELU(),
    functional.tanh: nn.Tanh(),
    functional.sigmoid: nn.Sigmoid(),
    torch.relu: nn.ReLU(),
    torch.tanh: nn.Tanh(),
    torch.sigmoid: nn.Sigmoid(),
}
"""nflows takes functions as activations; these modules compute the same."""


@dataclass(frozen=True)
class Algebra(Generic[Value]):
    """What one kind of bound does at every step of a network.

    Attributes:
        image: the value behind a module.
        total: the sum of two values.
    """

    image: Callable[[nn.Module, Value], Value]
    total: Callable[[Value, Value], Value]


def made_outputs(
    algebra: Algebra[Value], made: MADE, inputs: Value, context: Value | None
) -> Value:
    """Return the outputs of a MADE.

    Args:
        algebra: of the bound.
        made: the network, in evaluation mode.
        inputs: its features.
        context: None = as nflows without a context, whose layers are then left out.

    Raises:
        TypeError: if a module is not nflows' own, or has no rule.
        ValueError: if the activation is not known, or dropout is active.
    """
    find_rule(made)  # Refuses hooks and subclasses with a forward of their own.
    values = algebra.image(made.initial_layer, inputs)
    activation = activation_of(made)
    if context is not None:
        added = algebra.image(activation, algebra.image(made.context_layer, context))
        values = algebra.total(values, added)
    if not made.use_residual_blocks:
        values = algebra.image(activation, values)
    for block in made.blocks:
        values = block_outputs(algebra, block, values, context)
    return algebra.image(made.final_layer, values)


def block_outputs(
    algebra: Algebra[Value], block: Block, inputs: Value, context: Value | None
) -> Value:
    """Return the outputs of a feed-forward block, which sees no context, or of a residual block.

    A residual block adds W context + b in front of its second activation; nflows 0.14 gates
    nothing by the context.

    Args:
        algebra: of the bound.
        block: in evaluation mode.
        inputs: hidden units.
        context: or None.

    Raises:
        TypeError: if the block is not nflows' own, or has a module without a rule.
        ValueError: if the activation is not known, or dropout is active.
    """
    find_rule(block)
    _require_no_dropout(block.dropout)
    activation = activation_of(block)
    if isinstance(block, MaskedFeedforwardBlock):
        normalized = inputs if not block.batch_norm else algebra.image(block.batch_norm, inputs)
        return algebra.image(activation, algebra.image(block.linear, normalized))
    inside = inputs
    for place, linear in enumerate(block.linear_layers):
        if place == 1 and context is not None:
            inside = algebra.total(inside, algebra.image(block.context_layer, context))
        if block.use_batch_norm:
            inside = algebra.image(block.batch_norm_layers[place], inside)
        inside = algebra.image(linear, algebra.image(activation, inside))
    return algebra.total(inputs, inside)


def activation_of(module: MADE | Block) -> nn.Module:
    """Return the activation as a module.

    Raises:
        ValueError: if it is a function of which no module is known to compute the same.
    """
    activation = module.activation
    if isinstance(activation, nn.Module):
        return activation
    if activation not in ACTIVATIONS:
        names = ", ".join(sorted({known.__name__ for known in ACTIVATIONS}))
        name = getattr(activation, "__name__", repr(activation))
        raise ValueError(f"activation: got {name}; allowed: a module with a rule, {names}")
    return ACTIVATIONS[activation]


def _require_no_dropout(dropout: nn.Dropout) -> None:
    if dropout.training and dropout.p > 0:
        raise ValueError(
            f"dropout_probability: got {dropout.p} in training mode; allowed: 0, or call eval()"
        )
