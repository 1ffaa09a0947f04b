"""What a closed form says of the shift of a posterior over a ball, and how divergences relate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class HeadShift:
    """Upper bounds over all x' of a ball, deterministic, each of shape (batch,).

    Attributes:
        total_variation: of TV(q(. | x), q(. | x')).
        forward_kl: of KL(q(. | x) || q(. | x')), nats.
    """

    total_variation: Tensor
    forward_kl: Tensor


def total_variation_from_kl(kl: Tensor) -> Tensor:
    """Return the least of sqrt(KL / 2) (Pinsker) and sqrt(1 - exp(-KL)) (Bretagnolle-Huber)."""
    return torch.minimum((kl / 2).sqrt(), (-torch.expm1(-kl)).sqrt())


def total_variation_of_shift(distance: Tensor) -> Tensor:
    """Return 2 Phi(distance / 2) - 1: TV of equal Gaussians, means so many standard units apart."""
    return torch.erf(distance / (2 * math.sqrt(2)))
