"""Shift of a posterior with a worst observation of its own for every draw."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.certificates.base import UnsoundBoundError
from certibayes.certificates.bound_rules import bound_rule, estimator_name
from certibayes.certificates.posterior_draws import PosteriorDraws
from certibayes.certificates.shift_bounds import RELATIVE_ROUNDING, ShiftBounds
from certibayes.config.certificates import PosteriorShift
from certibayes.estimators.flow import weights_once
from certibayes.metrics.intervals.select import mean_upper
from certibayes.metrics.standard_error import estimate
from certibayes.metrics.total_variation import total_variation_terms
from certibayes.threat import Ball


def per_draw_bounds(spec: PosteriorShift, prepared: PosteriorDraws, ball: Ball) -> ShiftBounds:
    """Average (1 - exp(L(theta) - log q(theta | x)))+, L the lower bound of log q(theta | x').

    Raises:
        ValueError: if the estimator has no rule.
        UnsoundBoundError: if L(theta) exceeds log q(theta | x): x itself is in the ball.
    """
    lower = _lower_log_density(prepared, ball)
    terms = total_variation_terms(prepared.log_prob, lower)
    gap = (prepared.log_prob - lower).clamp(min=0.0)
    first = slice(spec.comparison_draws)
    return ShiftBounds(
        upper=mean_upper(spec.interval, terms, 1 - spec.confidence),
        mean=terms.mean(0),
        comparison=terms[first].mean(0),
        comparison_kl=gap[first].mean(0),
        kl_estimate=estimate(gap),
    )


def _lower_log_density(prepared: PosteriorDraws, ball: Ball) -> Tensor:
    """Return L(theta), shape (n, batch); minus infinity where the rule finds no bound."""
    rule = bound_rule("estimator_bounds", prepared.model)
    if rule is None:
        raise ValueError(f"estimator_bounds: {estimator_name(prepared.model)!r} has no rule")
    lower = torch.empty_like(prepared.log_prob)
    with torch.no_grad(), weights_once(prepared.model):
        for some, group in prepared.groups():
            for rows, theta in group.blocks():
                lower[rows, some] = rule(prepared.model, theta, group.x, ball).lower
    lower = torch.where(lower.isnan(), -torch.inf, lower)
    excess = lower - prepared.log_prob - RELATIVE_ROUNDING * (1 + prepared.log_prob.abs())
    if bool((excess > 0).any()):
        draw, row = (int(i) for i in (excess > 0).nonzero()[0])
        raise UnsoundBoundError(
            f"L(theta) = {float(lower[draw, row])} exceeds log q(theta | x) = "
            f"{float(prepared.log_prob[draw, row])} at draw {draw} of observation {row}"
        )
    return lower
