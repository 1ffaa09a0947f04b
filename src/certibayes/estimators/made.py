"""MADE networks of nflows in which every output sees the context."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from nflows.transforms.autoregressive import (
    AutoregressiveTransform,
    MaskedAffineAutoregressiveTransform,
)
from nflows.transforms.made import MADE, MaskedLinear
from torch import Tensor
from torch.nn import functional

SCALE_FLOOR = 1e-3


@dataclass(frozen=True)
class MADEWeights:
    """Weights with their masks applied, hidden units in ascending order of degree.

    Attributes:
        context: weight (hidden, context features) and bias of the context's layer.
        initial: weight (hidden, features) and bias of the first layer.
        blocks: weight (hidden, hidden) and bias of every further hidden layer.
        scale: weight (features, hidden) and bias of the unconstrained scales.
        shift: weight (features, hidden) and bias of the shifts.
        known: known[i] hidden units are computable from the first i features; features + 1 numbers.
    """

    context: tuple[Tensor, Tensor]
    initial: tuple[Tensor, Tensor]
    blocks: tuple[tuple[Tensor, Tensor], ...]
    scale: tuple[Tensor, Tensor]
    shift: tuple[Tensor, Tensor]
    known: tuple[int, ...]


class ConditionedMADE(MADE):
    """MADE with a constant feature 0 in front, whose output is dropped.

    In nflows' MADE the first feature's output sees no hidden unit, and so no context: one
    autoregressive transform would ignore x in theta_1. Behind the constant no feature is first.
    Inputs (batch, features), context (batch, context features), output (batch, 2 * features):
    unconstrained scale and shift of each feature in turn.
    """

    def __init__(self, features: int, hidden: int, context_features: int, blocks: int) -> None:
        super().__init__(
            features=features + 1,
            hidden_features=hidden,
            context_features=context_features,
            num_blocks=blocks,
            output_multiplier=2,
            use_residual_blocks=False,
        )
        degrees = self.initial_layer.degrees
        self._order = torch.argsort(degrees, stable=True)
        self._known = tuple(int((degrees <= i).sum()) for i in range(1, features + 1))

    def forward(self, inputs: Tensor, context: Tensor) -> Tensor:
        """Return scales and shifts as nflows' own forward pass computes them."""
        outputs: Tensor = super().forward(functional.pad(inputs, (1, 0)), context)
        return outputs[..., 2:]

    def weights(self) -> MADEWeights:
        """Return the masked, ordered weights; differentiable."""
        order = self._order
        initial, context = self.initial_layer, self.context_layer
        blocks = [block.linear for block in self.blocks]
        final_weight, final_bias = _masked(self.final_layer), self.final_layer.bias
        return MADEWeights(
            context=(context.weight[order], context.bias[order]),
            initial=(_masked(initial)[order, 1:], initial.bias[order]),
            blocks=tuple((_masked(b)[order][:, order], b.bias[order]) for b in blocks),
            scale=(final_weight[2::2, order], final_bias[2::2]),
            shift=(final_weight[3::2, order], final_bias[3::2]),
            known=(0, *self._known),
        )


class ConditionedAffine(MaskedAffineAutoregressiveTransform):
    """z_i = (softplus(a_i) + 1e-3) u_i + t_i with (a_i, t_i) a MADE of u_1 .. u_(i-1) and x."""

    def __init__(self, features: int, hidden: int, context_features: int, blocks: int) -> None:
        made = ConditionedMADE(features, hidden, context_features, blocks)
        AutoregressiveTransform.__init__(self, made)
        self.features = features
        self._epsilon = SCALE_FLOOR


def positive_scale(unconstrained: Tensor) -> Tensor:
    """Return the scale of an affine transform from a MADE's output; increasing."""
    return functional.softplus(unconstrained) + SCALE_FLOOR


def context_hidden(weights: MADEWeights, context: Tensor) -> Tensor:
    """Return what the context adds to the first hidden layer, ReLU(W x + b), (batch, hidden)."""
    return functional.linear(context, *weights.context).relu()


def _masked(layer: MaskedLinear) -> Tensor:
    masked: Tensor = layer.weight * layer.mask
    return masked
