"""Draws from a beta distribution out of an explicit generator."""

from __future__ import annotations

import torch
from torch import Tensor


def beta_draws(a: float, b: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw from Beta(a, b) by rejection, float64, in [0, 1].

    With U, V uniform, X = U^(1/a) and Y = V^(1/b), X / (X + Y) given X + Y <= 1 follows
    Beta(a, b): Johnk (1964), Metrika 8, 5-15. Pairs are accepted with probability
    Gamma(a + 1) Gamma(b + 1) / Gamma(a + b + 1): 0.95 at (0.05, 1.05), little for large a and b.

    Args:
        a: first shape parameter, positive.
        b: second shape parameter, positive.
        shape: shape of the result.
        generator: the only source of randomness.
    """
    draws = torch.empty(shape, dtype=torch.float64).flatten()
    pending = torch.arange(len(draws))
    while len(pending):
        uniform = torch.rand(2, len(pending), generator=generator, dtype=torch.float64)
        first, second = uniform[0].pow(1 / a), uniform[1].pow(1 / b)
        total = first + second
        accepted = (total <= 1) & (total > 0)
        draws[pending[accepted]] = (first / total)[accepted]
        pending = pending[~accepted]
    return draws.view(shape)
