"""The certified forward KL of estimators that have a bound of it."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.certificates.bound_rules import bound_rule
from certibayes.certificates.posterior_draws import PosteriorDraws
from certibayes.threat import Ball


def forward_kl_bound(prepared: PosteriorDraws, ball: Ball) -> Tensor | None:
    """Return the certified forward KL, shape (batch,), or None where the family has no bound."""
    rule = bound_rule("forward_kl_bounds", prepared.model)
    if rule is None:
        return None
    with torch.no_grad():
        bound: Tensor = rule(prepared.model, prepared.x, ball)
    return torch.where(bound.isnan(), torch.inf, bound).clamp(min=0.0)
