"""Nodes of affine layers."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.func import vjp

from certibayes.bounds.graph import Node
from certibayes.bounds.graph_rules import graph_rule, require_no_lead
from certibayes.bounds.nodes import Affine, Map
from certibayes.bounds.rules import propagate
from certibayes.bounds.rules_affine import convolved
from certibayes.bounds.rules_normalization import scale_and_shift


@graph_rule(nn.Linear)
def linear(module: nn.Linear, node: Node) -> Affine:
    """Return W t + b."""
    weight = module.weight
    return Affine(node, propagate(module, node.region), lambda a: a @ weight, module.bias)


@graph_rule(nn.Conv1d, nn.Conv2d)
def convolution(module: nn.Conv1d | nn.Conv2d, node: Node) -> Affine:
    """Return a convolution; its adjoint is the transposed convolution of the same geometry."""
    require_no_lead(module, node)
    region = propagate(module, node.region)
    adjoint = transposed(lambda t: convolved(module, t, module.weight), node.feature_shape)
    spatial = len(module.kernel_size)
    bias = None if module.bias is None else module.bias.view(-1, *(1,) * spatial)
    return Affine(node, region, adjoint, bias, features=spatial + 1)


@graph_rule(nn.BatchNorm1d, nn.BatchNorm2d)
def batch_norm(module: nn.BatchNorm1d | nn.BatchNorm2d, node: Node) -> Affine:
    """Return a fixed scale and shift of every channel.

    Raises:
        ValueError: in training mode, or without running statistics.
    """
    require_no_lead(module, node)
    region = propagate(module, node.region)
    scale, shift = scale_and_shift(module, node.features - 1)
    return Affine(node, region, lambda a: a * scale, shift, node.features)


def transposed(linear_map: Map, shape: tuple[int, ...]) -> Map:
    """Return the transpose of a linear map between batches, (*, *out) to (*, *shape).

    Args:
        linear_map: from (batch, *shape) to (batch, *out), the same for every row, without bias.
        shape: features of its input.
    """

    def adjoint(a: Tensor) -> Tensor:
        front = a.shape[: a.dim() - len(shape)]
        rows = a.reshape(-1, *a.shape[a.dim() - len(shape) :])
        pull: Callable[[Tensor], tuple[Tensor]] = vjp(
            linear_map, rows.new_zeros(len(rows), *shape)
        )[1]
        return pull(rows)[0].reshape(*front, *shape)

    return adjoint
