"""The registry of bound rules: one function per module type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from certibayes.bounds.ellipsoid import Region

Rule = Callable[[Any, Region], Region]
AnyRule = TypeVar("AnyRule", bound=Rule)
_RULES: dict[type[nn.Module], Rule] = {}


def rule(*types: type[nn.Module]) -> Callable[[AnyRule], AnyRule]:
    """Register the decorated function as the interval rule of module types.

    A rule maps (module, region of inputs) to a region that holds every output. It is pure torch,
    differentiable, and free of branches on the values of tensors, so that it runs under vmap.
    """

    def register(function: AnyRule) -> AnyRule:
        _RULES.update(dict.fromkeys(types, function))
        return function

    return register


def find_rule(module: nn.Module) -> Rule:
    """Return the rule of a module's type.

    A subclass uses its base's rule only if it inherits `forward` unchanged: a masked linear layer
    is no linear layer.

    Raises:
        TypeError: if there is no rule; the message names the type.
    """
    for base in type(module).__mro__:
        if base in _RULES and type(module).forward is base.forward:
            return _RULES[base]
    known = ", ".join(sorted(known.__name__ for known in _RULES))
    raise TypeError(f"module: got {type(module).__qualname__}, no bound rule; allowed: {known}")


def propagate(module: nn.Module, region: Region) -> Region:
    """Apply the rule of one module."""
    return find_rule(module)(module, region)
