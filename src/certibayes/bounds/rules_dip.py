"""Rules of activations that fall to one minimum and rise after it."""

from __future__ import annotations

import torch
from torch import nn

from certibayes.bounds.ellipsoid import Region
from certibayes.bounds.interval import Interval
from certibayes.bounds.rules import rule

LOWEST_SILU = -1.278464542761074
LOWEST_GELU = -0.751791524693565


@rule(nn.SiLU)
def silu(module: nn.SiLU, region: Region) -> Interval:
    """Bound t sigmoid(t)."""
    return _dip(module, region, LOWEST_SILU)


@rule(nn.GELU)
def gelu(module: nn.GELU, region: Region) -> Interval:
    """Bound t Phi(t).

    Raises:
        ValueError: for the approximation by tanh, whose minimum lies elsewhere.
    """
    if module.approximate != "none":
        raise ValueError(f"approximate: got {module.approximate!r}; allowed: 'none'")
    return _dip(module, region, LOWEST_GELU)


def _dip(module: nn.Module, region: Region, lowest: float) -> Interval:
    box = region.box
    at = torch.minimum(torch.maximum(torch.full_like(box.lower, lowest), box.lower), box.upper)
    return Interval(module(at), torch.maximum(module(box.lower), module(box.upper)))
