"""A device that computes on the CPU, but refuses to meet tensors of the CPU, as a GPU does."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CPU, DEVICE = torch.device("cpu"), torch.device("meta")
CONVERSION = "aten._to_copy.default"
TAKES_BOTH = {
    "aten.copy_.default",
    "aten.index.Tensor",
    "aten.index_put.default",
    "aten.index_put_.default",
    "aten._index_put_impl_.default",
}


class MixedDevicesError(RuntimeError):
    """Tensors of two devices met in one operation."""


class Pretender(torch.Tensor):
    """Says that it lies on `DEVICE`; its values are those of a tensor on the CPU."""

    @staticmethod
    def __new__(cls, values):
        pretender = torch.Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=DEVICE,
        )
        pretender.values = values
        return pretender

    @classmethod
    def __torch_dispatch__(cls, operation, types, arguments=(), keywords=None):
        return _compute(operation, arguments, keywords or {})


class PretendedDevice(TorchDispatchMode):
    """While it is on, `.to(DEVICE)` and `device=DEVICE` make pretenders."""

    def __torch_dispatch__(self, operation, types, arguments=(), keywords=None):
        return _compute(operation, arguments, keywords or {})


def _values(leaf):
    return leaf.values if isinstance(leaf, Pretender) else leaf


def _pretend(leaf):
    return Pretender(leaf) if isinstance(leaf, torch.Tensor) else leaf


def _compute(operation, arguments, keywords):
    name = str(operation)
    tensors = [t for t in tree_leaves((arguments, keywords)) if isinstance(t, torch.Tensor)]
    wanted = keywords.get("device")
    if wanted is not None:
        keywords = {**keywords, "device": CPU}
    result = operation(*tree_map(_values, arguments), **tree_map(_values, keywords))
    if name == CONVERSION and wanted is not None:
        return _pretend(result) if torch.device(wanted) == DEVICE else result
    there = [t for t in tensors if isinstance(t, Pretender)]
    if there and name not in TAKES_BOTH:
        here = [t for t in tensors if not isinstance(t, Pretender) and t.dim() > 0]
        if here:
            raise MixedDevicesError(f"{name} of {[tuple(t.shape) for t in tensors]}")
    if operation._schema.is_mutable:
        return arguments[0]
    if there or (wanted is not None and torch.device(wanted) == DEVICE):
        return tree_map(_pretend, result)
    return result
