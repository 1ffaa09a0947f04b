"""Densities of the radius in a robust likelihood (Wicker et al., 2021)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from certibayes.config.defenses import EpsilonDensity
from certibayes.defenses.mixing import Mixing


def radii(density: EpsilonDensity, draws: int, generator: torch.Generator | None) -> list[float]:
    """Draw radii of the attacked share, in units of the ball's.

    "two_atom": the ball's radius alone. "exponential": r with density exp(-r), mean 1. "rayleigh":
    r with density r exp(-r^2 / 2), scale 1. One draw from each of `draws` strata of equal mass, at
    r = F^-1((m + u_m) / draws), u_m uniform: averages over them are unbiased, and vary less than
    those over independent draws. Without a generator u_m = 1/2: the same radii at every call.

    Args:
        density: of the radius.
        draws: number of strata; "two_atom" has one.
        generator: source of the u_m, or None.
    """
    if density == "two_atom":
        return [1.0]
    uniform = torch.full((draws,), 0.5, dtype=torch.float64)
    if generator is not None:
        uniform = torch.rand(draws, generator=generator, dtype=torch.float64)
    tail = -torch.log1p(-(torch.arange(draws) + uniform) / draws)
    drawn: list[float] = (tail if density == "exponential" else (2 * tail).sqrt()).tolist()
    return drawn


def averaged(worst: list[Tensor], mixing: Mixing) -> Tensor:
    """Return worst cases at several radii as one, shape (batch,).

    "inside": the log of the mean of exp(worst). "outside": the mean.

    Args:
        worst: log-likelihoods, each of shape (batch,).
        mixing: where the mean is taken.
    """
    if len(worst) == 1:
        return worst[0]
    stacked = torch.stack(worst)
    if mixing == "outside":
        return stacked.mean(0)
    return stacked.logsumexp(0) - math.log(len(worst))
