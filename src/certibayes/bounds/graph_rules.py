"""From modules to nodes: one function per module type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor, nn

from certibayes.bounds.graph import Input, Node
from certibayes.bounds.interval import Interval
from certibayes.bounds.linear import linear_interval
from certibayes.bounds.nodes import (
    Affine,
    Elementwise,
    Lines,
    Rearranged,
    Shifted,
    Sum,
    function_of,
)
from certibayes.bounds.rules import propagate, registered
from certibayes.networks.residual import Residual

GraphRule = Callable[[Any, Node], Node]
AnyGraphRule = TypeVar("AnyGraphRule", bound=GraphRule)
_RULES: dict[type[nn.Module], GraphRule] = {}


def graph_rule(*types: type[nn.Module]) -> Callable[[AnyGraphRule], AnyGraphRule]:
    """Register the decorated function as the graph rule of module types."""

    def register(function: AnyGraphRule) -> AnyGraphRule:
        _RULES.update(dict.fromkeys(types, function))
        return function

    return register


def apply(module: nn.Module, node: Node) -> Node:
    """Return the node of module(value of node); which rule, see `rules.registered`."""
    return registered(_RULES, module, "linear bound rule")(module, node)


def enclosed(
    node: Node, image: Callable[[Interval], Interval], lines: Callable[[Interval], Lines]
) -> Elementwise:
    """Return the node of an elementwise function, with the node's interval tightened if asked.

    Args:
        node: argument of the function.
        image: the function's interval rule.
        lines: two lines around the function over an interval.
    """
    over = tightened(node)
    return function_of(node, image(over), lines(over))


def tightened(node: Node) -> Interval:
    """Return the node's interval, by linear bounds where these can be better; once for every node.

    A shifted node takes those of what is shifted: once for all leading dimensions that the shift
    adds.
    """
    first = isinstance(node, Affine) and isinstance(node.parents[0], Input)
    if not node.tightening or node.tight or first:
        return node.interval
    if isinstance(node, Shifted):
        node.region = node.shift(tightened(node.parents[0]))
    else:
        node.region = linear_interval(node)
    node.tight = True
    return node.interval


@graph_rule(nn.Sequential)
def sequential(module: nn.Sequential, node: Node) -> Node:
    """Apply the rules one after the other."""
    for layer in module:
        node = apply(layer, node)
    return node


@graph_rule(nn.Identity)
def identity(module: nn.Identity, node: Node) -> Node:
    """Return the node."""
    return node


@graph_rule(Residual)
def residual(module: Residual, node: Node) -> Sum:
    """Return t + body(t).

    Raises:
        ValueError: if the body changes the shape.
    """
    inside = apply(module.body, node)
    module.require_shape(node.interval.lower, inside.interval.lower)
    return Sum(node, inside)


@graph_rule(nn.Flatten, nn.Unflatten)
def rearranged(module: nn.Flatten | nn.Unflatten, node: Node) -> Rearranged:
    """Flatten or unflatten features."""
    require_no_lead(module, node)
    region = propagate(module, node.region)
    shape, features = node.feature_shape, region.box.lower.dim() - 1

    def adjoint(a: Tensor) -> Tensor:
        return a.reshape(*a.shape[: a.dim() - features], *shape)

    return Rearranged(node, region, adjoint, features)


def require_no_lead(module: nn.Module, node: Node) -> None:
    """Raise ValueError if a node has dimensions in front of the batch, e.g. draws of theta."""
    shape = tuple(node.interval.lower.shape)
    if len(shape) != node.features + 1:
        raise ValueError(
            f"{type(module).__qualname__}: got a node of shape {shape} with {node.features} "
            "feature dimensions; allowed: nothing in front of the batch"
        )
