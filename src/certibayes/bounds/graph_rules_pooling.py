"""Nodes of pooling layers."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from certibayes.bounds.graph import Node
from certibayes.bounds.graph_rules import graph_rule, require_no_lead, tightened
from certibayes.bounds.graph_rules_affine import transposed
from certibayes.bounds.nodes import Affine
from certibayes.bounds.rules import propagate
from certibayes.bounds.rules_pooling import entries, spatial_dims
from certibayes.bounds.window_maximum import WindowMaximum, Windows


@graph_rule(nn.AvgPool1d, nn.AvgPool2d)
def average_pool(module: nn.AvgPool1d | nn.AvgPool2d, node: Node) -> Affine:
    """Return means over windows: a linear map."""
    require_no_lead(module, node)
    region = propagate(module, node.region)
    return Affine(
        node, region, transposed(module.__call__, node.feature_shape), None, node.features
    )


@graph_rule(nn.MaxPool1d, nn.MaxPool2d)
def max_pool(module: nn.MaxPool1d | nn.MaxPool2d, node: Node) -> WindowMaximum:
    """Return the largest entries of windows."""
    require_no_lead(module, node)
    region = propagate(module, tightened(node)).box
    counts = tuple(region.lower.shape[2:])
    windows = windows_of(module, node.feature_shape[1:], counts, region.lower.device)
    return WindowMaximum(node, region, windows)


def windows_of(
    module: nn.MaxPool1d | nn.MaxPool2d,
    sizes: tuple[int, ...],
    counts: tuple[int, ...],
    device: torch.device | None = None,
) -> Windows:
    """Return which positions each window of a pooling layer holds.

    Args:
        module: the layer.
        sizes: positions per dimension.
        counts: windows per dimension.
        device: of the result.

    Raises:
        ValueError: if a window lies in the padding alone.
    """
    spatial = spatial_dims(module)
    settings = (module.kernel_size, module.stride, module.padding, module.dilation)
    kernel, stride, padding, dilation = (entries(setting, spatial) for setting in settings)
    numbers = torch.arange(1, math.prod(sizes) + 1, device=device).view(sizes)
    numbers = functional.pad(numbers, _margins(sizes, counts, kernel, stride, padding, dilation))
    for dim in range(spatial):
        numbers = numbers.unfold(dim, (kernel[dim] - 1) * dilation[dim] + 1, stride[dim])
    for dim in range(spatial):
        numbers = numbers.narrow(dim, 0, counts[dim])
        every = torch.arange(0, numbers.shape[spatial + dim], dilation[dim], device=device)
        numbers = numbers.index_select(spatial + dim, every)
    index = numbers.reshape(math.prod(counts), math.prod(kernel))
    inside = index > 0
    if not inside.any(1).all():
        raise ValueError(
            f"padding: got {module.padding} with dilation {module.dilation}; allowed: every window "
            f"holds one of the {' x '.join(map(str, sizes))} entries"
        )
    return Windows((index - 1).clamp(min=0), inside)


def _margins(
    sizes: tuple[int, ...],
    counts: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> list[int]:
    """Return the padding in front of and behind every dimension, the last dimension first."""
    margins: list[int] = []
    for dim in reversed(range(len(sizes))):
        end = (counts[dim] - 1) * stride[dim] + (kernel[dim] - 1) * dilation[dim] + 1
        margins += [padding[dim], max(0, end - sizes[dim] - padding[dim])]
    return margins
