"""Gradients of limited norm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


@torch.no_grad()
def clip_norm(gradients: Sequence[Tensor], largest: float, where: str) -> None:
    """Scale gradients in place to a largest joint norm, even where the norm exceeds float32.

    Args:
        gradients: any shapes.
        largest: norm allowed, over all of them.
        where: what an error says of the place, e.g. "at step 3 of 10".

    Raises:
        FloatingPointError: if an entry is not finite.
    """
    norm = nn.utils.get_total_norm(gradients)
    if torch.isfinite(norm):
        _scale(gradients, norm, largest)
        return
    entry = nn.utils.get_total_norm(gradients, float("inf"))
    if not torch.isfinite(entry):
        raise FloatingPointError(
            f"largest gradient: got {entry.item()} {where}; allowed: a finite number"
        )
    for gradient in gradients:
        gradient.div_(entry)
    factor = largest / nn.utils.get_total_norm(gradients)
    for gradient in gradients:
        gradient.mul_(factor)


def _scale(gradients: Sequence[Tensor], norm: Tensor, largest: float) -> None:
    factor = torch.clamp(largest / (norm + 1e-6), max=1.0)
    for gradient in gradients:
        gradient.mul_(factor)
