"""Positive scales from unconstrained network outputs."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

SCALE_FLOOR = 1e-3


def positive_scale(unconstrained: Tensor) -> Tensor:
    """Return softplus of a network's output plus a floor; increasing and convex."""
    return functional.softplus(unconstrained) + SCALE_FLOOR
