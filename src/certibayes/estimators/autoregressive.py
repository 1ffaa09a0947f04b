"""Autoregressive transforms at fixed observations, for many draws of theta at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from certibayes.estimators.made import MADEWeights
from certibayes.estimators.scale import positive_scale


@dataclass(frozen=True)
class ConditionedTransform(ABC):
    """z_i = f(u_i; outputs of a MADE that sees u_1..u_(i-1) and x), increasing in u_i.

    The context's layer is computed once per observation and shared by all draws.

    Attributes:
        weights: of its MADE.
        context: what the observations add to the first hidden layer, shape (batch, hidden).
    """

    weights: MADEWeights
    context: Tensor

    @abstractmethod
    def forward(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Map u, shape (*, batch, d), to z and log |det dz / du|, shape (*, batch)."""

    @abstractmethod
    def solve(self, z: Tensor, outputs: Tensor) -> Tensor:
        """Return u_i, shape (rows,), from z_i, (rows,), and its outputs, (outputs, rows)."""

    def hidden(self, u: Tensor) -> Tensor:
        """Return the last hidden layer, shape (*, batch, hidden), at u, shape (*, batch, d)."""
        hidden = (functional.linear(u, *self.weights.initial) + self.context).relu()
        for layer in self.weights.blocks:
            hidden = functional.linear(hidden, *layer).relu()
        return hidden

    def inverse(self, z: Tensor) -> Tensor:
        """Map z back to u, both of shape (*, batch, d), at the cost of one forward pass.

        Step i solves for u_i; it computes only the hidden units that u_(i-1) makes computable.
        Units lie in the first dimension, so that every step appends contiguous rows.
        """
        batch, d = z.shape[-2:]
        targets = z.reshape(-1, d).T
        context = self.context.T.unsqueeze(1)
        layers: list[list[Tensor]] = [[] for _ in range(1 + len(self.weights.blocks))]
        solved: list[Tensor] = []
        known = self.weights.known
        for i in range(d):
            new = slice(known[i], known[i + 1])
            if known[i] < known[i + 1]:
                weight, bias = self.weights.initial
                sums = bias[new, None].expand(-1, targets.shape[1])
                if i > 0:
                    sums = sums + weight[new, :i] @ torch.stack(solved)
                units = (sums.reshape(len(sums), -1, batch) + context[new]).relu()
                layers[0].append(units.reshape(len(sums), -1))
                for below, above, (weight, bias) in zip(
                    layers, layers[1:], self.weights.blocks, strict=False
                ):
                    sums = weight[new, : known[i + 1]] @ torch.cat(below) + bias[new, None]
                    above.append(sums.relu())
            hidden = torch.cat(layers[-1])
            weight, bias = self.weights.outputs
            outputs = weight[i, :, : len(hidden)] @ hidden + bias[i, :, None]
            solved.append(self.solve(targets[i], outputs))
        return torch.stack(solved).T.reshape(z.shape)


@dataclass(frozen=True)
class AffineTransform(ConditionedTransform):
    """z_i = s_i(u_1..u_(i-1), x) u_i + t_i(u_1..u_(i-1), x)."""

    def forward(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Map u, shape (*, batch, d), to z and log |det dz / du|, shape (*, batch)."""
        hidden = self.hidden(u)
        scale = positive_scale(functional.linear(hidden, *self.weights.scale))
        z = scale * u + functional.linear(hidden, *self.weights.shift)
        return z, scale.log().sum(-1)

    def solve(self, z: Tensor, outputs: Tensor) -> Tensor:
        """Return (z_i - t_i) / s_i, shape (rows,)."""
        return (z - outputs[1]) / positive_scale(outputs[0])
