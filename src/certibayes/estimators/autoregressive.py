"""One affine autoregressive transform at fixed observations, for many draws of theta at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from certibayes.estimators.made import MADEWeights, positive_scale


@dataclass(frozen=True)
class ConditionedTransform:
    """z_i = s_i(u_1..u_(i-1), x) u_i + t_i(u_1..u_(i-1), x).

    The context's layer is computed once per observation and shared by all draws.

    Attributes:
        weights: of its MADE.
        context: what the observations add to the first hidden layer, shape (batch, hidden).
    """

    weights: MADEWeights
    context: Tensor

    def forward(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Map u, shape (*, batch, d), to z and log |det dz / du|, shape (*, batch)."""
        hidden = (functional.linear(u, *self.weights.initial) + self.context).relu()
        for layer in self.weights.blocks:
            hidden = functional.linear(hidden, *layer).relu()
        scale = positive_scale(functional.linear(hidden, *self.weights.scale))
        z = scale * u + functional.linear(hidden, *self.weights.shift)
        return z, scale.log().sum(-1)

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
            (scale, scale_bias), (shift, shift_bias) = self.weights.scale, self.weights.shift
            rows = torch.stack((scale[i, : len(hidden)], shift[i, : len(hidden)]))
            unconstrained, offset = rows @ hidden
            residual = targets[i] - offset - shift_bias[i]
            solved.append(residual / positive_scale(unconstrained + scale_bias[i]))
        return torch.stack(solved).T.reshape(z.shape)
