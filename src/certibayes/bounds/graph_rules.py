"""From modules to nodes: one function per module type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.func import vjp

from certibayes.bounds.graph import Input, Node
from certibayes.bounds.interval import Interval
from certibayes.bounds.linear import linear_interval
from certibayes.bounds.nodes import Affine, Elementwise, Lines, Rearranged
from certibayes.bounds.rules import propagate

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
    """Return the node of module(value of node).

    A subclass uses its base's rule only if it inherits `forward` unchanged.

    Raises:
        TypeError: if the module's type has no rule; the message names it.
    """
    for base in type(module).__mro__:
        if base in _RULES and type(module).forward is base.forward:
            return _RULES[base](module, node)
    known = ", ".join(sorted(known.__name__ for known in _RULES))
    raise TypeError(
        f"module: got {type(module).__qualname__}, no linear bound rule; allowed: {known}"
    )


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
    return Elementwise(node, image(over), lines(over))


def tightened(node: Node) -> Interval:
    """Return the node's interval, by linear bounds where these can be better."""
    first = isinstance(node, Affine) and isinstance(node.parents[0], Input)
    if node.tightening and not first:
        node.region = linear_interval(node)
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


@graph_rule(nn.Flatten)
def flatten(module: nn.Flatten, node: Node) -> Node:
    """Flatten all features."""
    region = propagate(module, node.region)
    shape = node.feature_shape
    return Rearranged(node, region, lambda a: a.reshape(*a.shape[:-1], *shape), 1)


@graph_rule(nn.Linear)
def linear(module: nn.Linear, node: Node) -> Affine:
    """Return W t + b."""
    weight = module.weight
    return Affine(node, propagate(module, node.region), lambda a: a @ weight, module.bias)


@graph_rule(nn.Conv2d)
def conv2d(module: nn.Conv2d, node: Node) -> Affine:
    """Return a convolution; its adjoint is the transposed convolution of the same geometry."""
    region = propagate(module, node.region)
    shape = node.feature_shape

    def convolve(images: Tensor) -> Tensor:
        return module._conv_forward(images, module.weight, None)

    def adjoint(a: Tensor) -> Tensor:
        images = a.reshape(-1, *a.shape[-3:])
        pull: Callable[[Tensor], tuple[Tensor]] = vjp(
            convolve, images.new_zeros(len(images), *shape)
        )[1]
        return pull(images)[0].reshape(*a.shape[:-3], *shape)

    bias = None if module.bias is None else module.bias.view(-1, 1, 1)
    return Affine(node, region, adjoint, bias, features=3)
