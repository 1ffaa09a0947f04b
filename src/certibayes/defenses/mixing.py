"""How a worst-case log-likelihood is mixed with the clean one."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Mixing = Literal["inside", "outside"]


def mix(clean: Tensor, worst: Tensor, clean_weight: float, mixing: Mixing) -> Tensor:
    """Mix two log-likelihoods, each of shape (batch,).

    "inside": log(lambda exp(clean) + (1 - lambda) exp(worst)) (Wicker et al., 2021): the
    likelihood of an input that is attacked with probability 1 - lambda; its gradient to `worst`
    vanishes where worst << clean. "outside": lambda clean + (1 - lambda) worst.

    Args:
        clean: log-likelihood at x.
        worst: lower bound of the log-likelihood over the ball.
        clean_weight: lambda, in [0, 1].
        mixing: where the mixture is taken.
    """
    if clean_weight == 1:
        return clean
    if clean_weight == 0:
        return worst
    if mixing == "outside":
        return clean_weight * clean + (1 - clean_weight) * worst
    return torch.logaddexp(math.log(clean_weight) + clean, math.log1p(-clean_weight) + worst)
