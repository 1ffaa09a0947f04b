"""Draws at observations whose true thetas are known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.certificates.posterior_draws import PosteriorDraws


@dataclass(frozen=True)
class CoverageDraws:
    """Draws at the observations with their true thetas, shape (batch, theta_dim).

    Attributes:
        log_prob: log q(theta* | x), shape (batch,).
        seed: of the draws at attacked observations.
    """

    draws: PosteriorDraws
    target: Tensor
    log_prob: Tensor
    seed: int


def at_true_thetas(draws: PosteriorDraws, target: Tensor, seed: int) -> CoverageDraws:
    """Pair draws with the true thetas, shape (batch, theta_dim)."""
    with torch.no_grad():
        return CoverageDraws(draws, target, draws.model(draws.x).log_prob(target), seed)
