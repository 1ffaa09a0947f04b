"""The registry of bound rules: one function per module type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import nn

from certibayes.bounds.ellipsoid import Region

Rule = Callable[[Any, Region], Region]
AnyRule = TypeVar("AnyRule", bound=Rule)
Registered = TypeVar("Registered")
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
    """Return the rule of a module's type, see `registered`."""
    return registered(_RULES, module, "bound rule")


def registered(
    rules: Mapping[type[nn.Module], Registered], module: nn.Module, what: str
) -> Registered:
    """Return what is registered for a module's type.

    A subclass uses its base's rule only if it inherits `forward` unchanged: a masked linear layer
    is no linear layer.

    Args:
        rules: by module type.
        module: any module.
        what: is registered, for the message.

    Raises:
        TypeError: if there is nothing; the message names the type.
        ValueError: if the module computes something else than its type says: it has hooks or a
            `forward` of its own, or writes over its input, which others may still read.
    """
    kind = type(module)
    if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
        raise ValueError(f"module: got {kind.__qualname__} with hooks; allowed: none")
    if getattr(module, "inplace", False):
        raise ValueError(f"inplace: got True in {kind.__qualname__}; allowed: False")
    for base, found in ((base, rules[base]) for base in kind.__mro__ if base in rules):
        if issubclass(base, nn.Module) and kind.forward is base.forward:
            return found
    known = ", ".join(sorted(known.__name__ for known in rules))
    raise TypeError(f"module: got {kind.__qualname__}, no {what}; allowed: {known}")


def propagate(module: nn.Module, region: Region) -> Region:
    """Apply the rule of one module."""
    return find_rule(module)(module, region)


def require_dims(module: nn.Module, region: Region, *allowed: int) -> None:
    """Raise ValueError unless a region has so many dimensions, batch included.

    torch takes one dimension less for a single example, whose features would pass for a batch.
    """
    dims = region.box.lower.dim()
    if dims not in allowed:
        expected = " or ".join(str(count) for count in allowed)
        raise ValueError(
            f"{type(module).__qualname__}: got an input with {dims} dimensions; "
            f"allowed: {expected}, batch first"
        )


def feature_dim(module: nn.Module, dim: int, dims: int) -> int:
    """Return a module's dimension counted from the front, which may not be the batch.

    Raises:
        ValueError: if it is the batch dimension.
    """
    if dim % dims == 0:
        raise ValueError(f"{type(module).__qualname__}.dim: got {dim}; allowed: not the batch")
    return dim % dims
