"""What estimates of a divergence average over draws."""

from __future__ import annotations

import torch
from torch import Tensor

NEAR = 1.0
"""Largest |log p - log q| of any draw at which q / p is trusted as a control variate."""


def kl_terms(log_ratio: Tensor) -> Tensor:
    """Return terms whose mean over draws of p estimates KL(p || q), shape (draws, *).

    log(p / q) itself has a variance of about 2 KL: near p = q its mean is lost in noise. With the
    control variate q / p - 1, whose mean under p is 0, the term q / p - 1 + log(p / q) >= 0 has a
    variance of the order of KL^2. Where some draw's ratio is far from 1, q / p may have heavy tails
    and all terms are log(p / q); the choice is made for every column and adds a bias that is small
    where either case is rare.

    Args:
        log_ratio: log p - log q at draws of p, shape (draws, *).
    """
    near = (log_ratio.abs() <= NEAR).all(0)
    safe = log_ratio.clamp(-NEAR, NEAR)
    return torch.where(near, torch.expm1(-safe) + safe, log_ratio)
