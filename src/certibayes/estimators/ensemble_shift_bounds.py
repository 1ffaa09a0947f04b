"""Closed-form bounds of the total variation and divergence between ensembles."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes import registry
from certibayes.estimators.ensemble import EnsembleEstimator
from certibayes.estimators.head_shift import HeadShift, total_variation_from_kl
from certibayes.threat import Ball


def head_shift(estimator: EnsembleEstimator, x: Tensor, ball: Ball) -> HeadShift:
    """Bound the shift over all x' in the ball around each x; deterministic.

    Both divergences are jointly convex: those of the mixtures are at most the members' means.

    Args:
        estimator: the ensemble.
        x: raw, shape (batch, x_dim).
        ball: radius in raw units of x.

    Raises:
        KeyError: if the members' kind has no closed form.
    """
    members = estimator.estimators
    rule = registry.load("head_shift_bounds", members[0].kind)
    shifts: list[HeadShift] = [rule(member, x, ball) for member in members]
    kl = torch.stack([shift.forward_kl for shift in shifts]).mean(0)
    mean = torch.stack([shift.total_variation for shift in shifts]).mean(0)
    return HeadShift(torch.minimum(mean, total_variation_from_kl(kl)), kl)
