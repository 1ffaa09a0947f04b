"""Initial weights that keep interval bounds from exploding."""

from __future__ import annotations

import math

import torch
from torch import nn


@torch.no_grad()
def interval_initialization(module: nn.Module, generator: torch.Generator) -> None:
    """Draw weights so that interval widths neither grow nor shrink, in every Linear and Conv layer.

    Weights ~ N(0, 2 pi / fan_in^2), biases 0: a ReLU layer then keeps the expected width of its
    input, because fan_in * E|w| / 2 = 1 (Shi et al., 2021). A masked layer (a buffer `mask` of
    the shape of its weight) counts per row the inputs that it sees.

    Args:
        module: changed in place.
        generator: source of the weights.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            mask = dict(layer.named_buffers(recurse=False)).get("mask")
            seen = torch.ones_like(layer.weight) if mask is None else mask
            inputs = tuple(range(1, seen.dim()))
            std = math.sqrt(2 * math.pi) / seen.sum(inputs, keepdim=True).clamp(min=1)
            noise = torch.randn(layer.weight.shape, generator=generator, dtype=layer.weight.dtype)
            layer.weight.copy_(std * noise)
            if layer.bias is not None:
                layer.bias.zero_()
