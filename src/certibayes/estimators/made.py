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

from certibayes.estimators.scale import SCALE_FLOOR


@dataclass(frozen=True)
class MADEWeights:
    """Weights with their masks applied, hidden units in ascending order of degree.

    Attributes:
        context: weight (hidden, context features) and bias of the context's layer.
        initial: weight (hidden, features) and bias of the first layer.
        blocks: weight (hidden, hidden) and bias of every further hidden layer.
        outputs: weight (features, outputs per feature, hidden) and bias of the last layer.
        known: known[i] hidden units are computable from the first i features; features + 1 numbers.
    """

    context: tuple[Tensor, Tensor]
    initial: tuple[Tensor, Tensor]
    blocks: tuple[tuple[Tensor, Tensor], ...]
    outputs: tuple[Tensor, Tensor]
    known: tuple[int, ...]

    @property
    def scale(self) -> tuple[Tensor, Tensor]:
        """Weight (features, hidden) and bias of the unconstrained scales: the first outputs."""
        return self.outputs[0][:, 0], self.outputs[1][:, 0]

    @property
    def shift(self) -> tuple[Tensor, Tensor]:
        """Weight (features, hidden) and bias of the shifts: the second outputs."""
        return self.outputs[0][:, 1], self.outputs[1][:, 1]

    @property
    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """Weight (2 features, hidden) and bias of all unconstrained scales, then all shifts."""
        weight, bias = (part[:, :2].transpose(0, 1).flatten(0, 1) for part in self.outputs)
        return weight, bias

    @property
    def splines(self) -> tuple[Tensor, Tensor]:
        """Weight (features, numbers, hidden) and bias (features, numbers) of the other outputs."""
        return self.outputs[0][:, 2:], self.outputs[1][:, 2:]


class ConditionedMADE(MADE):
    """MADE with a constant feature 0 in front, whose output is dropped.

    In nflows' MADE the first feature's output sees no hidden unit, and so no context: one
    autoregressive transform would ignore x in theta_1. Behind the constant no feature is first.
    Inputs (batch, features), context (batch, context features), output (batch, features * outputs):
    those of each feature in turn; the first two are its unconstrained scale and its shift.
    """

    def __init__(
        self, features: int, hidden: int, context_features: int, blocks: int, outputs: int = 2
    ) -> None:
        super().__init__(
            features=features + 1,
            hidden_features=hidden,
            context_features=context_features,
            num_blocks=blocks,
            output_multiplier=outputs,
            use_residual_blocks=False,
        )
        self.outputs = outputs
        degrees = self.initial_layer.degrees
        self.register_buffer("_order", torch.argsort(degrees, stable=True), persistent=False)
        self._known = tuple(int((degrees <= i).sum()) for i in range(1, features + 1))

    def forward(self, inputs: Tensor, context: Tensor) -> Tensor:
        """Return the outputs as nflows' own forward pass computes them."""
        outputs: Tensor = super().forward(functional.pad(inputs, (1, 0)), context)
        return outputs[..., self.outputs :]

    def weights(self) -> MADEWeights:
        """Return the masked, ordered weights; differentiable."""
        order: Tensor = self._order
        initial, context = self.initial_layer, self.context_layer
        blocks = [block.linear for block in self.blocks]
        final = _masked(self.final_layer)[self.outputs :, order].unflatten(0, (-1, self.outputs))
        final_bias = self.final_layer.bias[self.outputs :].unflatten(0, (-1, self.outputs))
        return MADEWeights(
            context=(context.weight[order], context.bias[order]),
            initial=(_masked(initial)[order, 1:], initial.bias[order]),
            blocks=tuple((_masked(b)[order][:, order], b.bias[order]) for b in blocks),
            outputs=(final, final_bias),
            known=(0, *self._known),
        )


class ConditionedAffine(MaskedAffineAutoregressiveTransform):
    """z_i = (softplus(a_i) + 1e-3) u_i + t_i with (a_i, t_i) a MADE of u_1 .. u_(i-1) and x."""

    def __init__(self, features: int, hidden: int, context_features: int, blocks: int) -> None:
        made = ConditionedMADE(features, hidden, context_features, blocks)
        AutoregressiveTransform.__init__(self, made)
        self.features = features
        self._epsilon = SCALE_FLOOR


def context_hidden(weights: MADEWeights, context: Tensor) -> Tensor:
    """Return what the context adds to the first hidden layer, ReLU(W x + b), (batch, hidden)."""
    return functional.linear(context, *weights.context).relu()


def _masked(layer: MaskedLinear) -> Tensor:
    masked: Tensor = layer.weight * layer.mask
    return masked
