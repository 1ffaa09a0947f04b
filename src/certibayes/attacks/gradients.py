"""Gradients of an objective with respect to x'."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.attacks.base import ConditionalModel, PreparedObjective


def input_gradient(model: ConditionalModel, prepared: PreparedObjective, x: Tensor) -> Tensor:
    """Return the gradient of each item's value, largest entry 1 in size; shape (batch, x_dim).

    Entries that are not finite (the value overflowed at this x') count as 0: that item stays.

    Args:
        model: the attacked model.
        prepared: objective with its draws fixed.
        x: points x' where the gradient is taken, shape (batch, x_dim).
    """
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        value = prepared(model(x)).sum()
        (gradient,) = torch.autograd.grad(value, x)
    gradient = torch.where(gradient.isfinite(), gradient, torch.zeros_like(gradient))
    largest = gradient.abs().amax(-1, keepdim=True)
    return gradient / largest.clamp(min=torch.finfo(gradient.dtype).tiny)
