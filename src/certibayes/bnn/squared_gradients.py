"""The mean over examples of squared per-example gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

ROWS = 16
"""Per-example gradients that are in memory together."""


def from_every_example(objective: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    """Return (1/B) sum_i (d objective_i / d w)^2, shapes of the weights.

    Takes as many backward passes as the batch has examples, `ROWS` at a time.

    Args:
        objective: shape (B,); its graph is kept.
        weights: tensors that require a gradient.
    """
    size = len(objective)
    rows = torch.eye(size, dtype=objective.dtype, device=objective.device)
    sums = [torch.zeros_like(w) for w in weights]
    for some in rows.split(ROWS):
        gradients = torch.autograd.grad(
            objective, weights, some, retain_graph=True, is_grads_batched=True
        )
        for total, gradient in zip(sums, gradients, strict=True):
            total.add_(gradient.square().sum(0))
    return [total / size for total in sums]


def from_random_signs(
    objective: Tensor, weights: Sequence[Tensor], generator: torch.Generator
) -> list[Tensor]:
    """Return an unbiased estimate of (1/B) sum_i g_i^2 from one backward pass.

    With independent signs v_i, E[(sum_i v_i g_i)^2] = sum_i g_i^2, because E[v_i v_j] = 0.

    Args:
        objective: shape (B,); its graph is kept.
        weights: tensors that require a gradient.
        generator: source of the signs.
    """
    signs = 2 * torch.randint(2, objective.shape, generator=generator) - 1
    gradients = torch.autograd.grad(objective, weights, signs.to(objective), retain_graph=True)
    return [gradient.square() / len(objective) for gradient in gradients]
