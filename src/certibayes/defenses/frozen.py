"""A model whose statistics stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from certibayes.attacks.base import ConditionalModel


@contextmanager
def frozen_statistics(model: ConditionalModel) -> Iterator[None]:
    """Evaluate a model in its mode of use: running statistics do not move, nothing drops out.

    Every module gets its own mode back at the end. Weights and gradients are not touched.
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [module.training for module in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
