"""Shift of a posterior by the closed form of its family: deterministic, no draws."""

from __future__ import annotations

import torch

from certibayes.certificates.bound_rules import bound_rule, estimator_name
from certibayes.certificates.per_draw import per_draw_bounds
from certibayes.certificates.posterior_draws import PosteriorDraws
from certibayes.certificates.shift_bounds import ShiftBounds
from certibayes.config.certificates import PosteriorShift
from certibayes.estimators.head_shift import HeadShift
from certibayes.metrics.standard_error import Estimate
from certibayes.threat import Ball


def closed_form_bounds(spec: PosteriorShift, prepared: PosteriorDraws, ball: Ball) -> ShiftBounds:
    """Bound the total variation and the divergence themselves, not their means over draws.

    The draws serve comparisons with attacks alone: for these the bound is that of every draw with
    a worst observation of its own, by intervals.

    Raises:
        ValueError: if the estimator has no closed form.
        UnsoundBoundError: if L(theta) exceeds log q(theta | x): x itself is in the ball.
    """
    model = prepared.model
    rule = bound_rule("head_shift_bounds", model)
    if rule is None:
        raise ValueError(f"head_shift_bounds: {estimator_name(model)!r} has no rule")
    shift: HeadShift = rule(model, prepared.x, ball)
    compared = per_draw_bounds(spec, prepared, ball)
    return ShiftBounds(
        upper=shift.total_variation,
        mean=shift.total_variation,
        comparison=compared.comparison,
        comparison_kl=compared.comparison_kl,
        kl_estimate=Estimate(shift.forward_kl, torch.zeros_like(shift.forward_kl)),
        forward_kl=shift.forward_kl,
        confidence=1.0,
    )
