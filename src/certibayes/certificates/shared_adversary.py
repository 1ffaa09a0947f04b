"""Shift of a posterior with one worst observation for all draws, by linear bounds."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from certibayes.bounds.graph import Input
from certibayes.bounds.linear import lower_form
from certibayes.certificates.base import UnsoundBoundError
from certibayes.certificates.bound_rules import bound_rule, estimator_name
from certibayes.certificates.linear_moments import LinearMoments
from certibayes.certificates.majorant import mean_upper_bound
from certibayes.certificates.posterior_draws import PosteriorDraws
from certibayes.certificates.shift_bounds import RELATIVE_ROUNDING, ShiftBounds
from certibayes.config.certificates import PosteriorShift
from certibayes.estimators.base import Estimator
from certibayes.estimators.bounded_density import standardized_ball
from certibayes.metrics.standard_error import Estimate
from certibayes.threat import Ball

ROUNDING = 1e-13
"""Rounding of a linear bound, as a share of the sizes of all that is added up in it."""


def shared_bounds(spec: PosteriorShift, prepared: PosteriorDraws, ball: Ball) -> ShiftBounds:
    """Bound the empirical mean of (1 - q(theta | x') / q(theta | x))+ over all x' at once.

    With t the standardised x' and g_k(t) = slope_k . (t - center) + offset_k a lower bound of
    log q(theta_k | x') - log q(theta_k | x), a term is at most (1 - exp(g_k))+; the mean of these
    is bounded over t from the first two moments of g. For the x' that truly is worst, a fixed
    point, the n terms are independent and lie in [0, 1], so `upper` adds the width of the stated
    interval once; the sample variance in empirical Bernstein is at most n / (n - 1) times the
    bound of the mean of g^2, because a term is at most |g_k|.

    Raises:
        ValueError: if the estimator has no graph.
        UnsoundBoundError: if a linear bound exceeds log q(theta | x) at x itself.
    """
    model = prepared.model
    graph = bound_rule("log_density_graph", model)
    if graph is None:
        raise ValueError(f"log_density_graph: {estimator_name(model)!r} has no rule")
    region, center = standardized_ball(model, prepared.x, ball), model.standardize(prepared.x)
    every, first, controlled = (LinearMoments(region, center) for _ in range(3))
    for rows, theta in prepared.blocks():
        with torch.no_grad():
            node = graph(model, theta, Input(region, spec.bounds == "crown"))
            form = lower_form(node, torch.ones_like(prepared.log_prob[rows]))
            parts = form.coefficients * center
            allowance = ROUNDING * (form.magnitude + parts.abs().sum(-1))
            at_center = form.offset + parts.sum(-1) - allowance
            offset = _require_below(at_center, prepared.log_prob[rows], rows.start)
        compared = max(0, spec.comparison_draws - rows.start)
        every.add(form.coefficients, offset)
        first.add(form.coefficients[:compared], offset[:compared])
        controlled.add(form.coefficients - _scores(model, prepared.x, theta), offset)
    second = _bounded(every.largest_mean_square())
    mean = mean_upper_bound(_bounded(-every.least_mean()), second)
    first_kl = _bounded(-first.least_mean())
    least, error = controlled.mean_at_worst()
    return ShiftBounds(
        upper=(mean + _width(spec, second)).clamp(max=1.0),
        mean=mean,
        comparison=mean_upper_bound(first_kl, _bounded(first.largest_mean_square())),
        comparison_kl=first_kl,
        kl_estimate=Estimate(_bounded(-least), error.nan_to_num(nan=torch.inf)),
    )


def _require_below(bound: Tensor, log_prob: Tensor, start: int) -> Tensor:
    """Return the bound at x itself minus log q(theta | x), which must not be positive."""
    offset = bound - log_prob
    excess = offset - RELATIVE_ROUNDING * (1 + log_prob.abs())
    if bool((excess > 0).any()):
        draw, row = (int(i) for i in (excess > 0).nonzero()[0])
        raise UnsoundBoundError(
            f"linear bound exceeds log q(theta | x) by {float(offset[draw, row])} at x itself, "
            f"draw {start + draw} of observation {row}"
        )
    return offset.clamp(max=0.0)


@torch.enable_grad()
def _scores(model: Estimator, x: Tensor, theta: Tensor) -> Tensor:
    """Return the gradients of log q(theta | x) by the standardised x, shape (n, batch, x_dim)."""
    given = x.repeat(len(theta), 1).requires_grad_()
    log_prob = model(given).log_prob(theta.flatten(0, 1))
    (by_x,) = torch.autograd.grad(log_prob.sum(), given)
    (scale,) = torch.autograd.grad(model.standardize(given).sum(), given)
    return (by_x / scale).view(len(theta), *x.shape)


def _bounded(values: Tensor) -> Tensor:
    """Return bounds that are infinite where arithmetic gave no number, and never below 0."""
    return values.nan_to_num(nan=torch.inf, posinf=torch.inf).clamp(min=0.0)


def _width(spec: PosteriorShift, mean_square: Tensor) -> Tensor:
    n, alpha = spec.draws, 1 - spec.confidence
    if spec.interval == "hoeffding":
        return torch.full_like(mean_square, math.sqrt(math.log(1 / alpha) / (2 * n)))
    log_term = math.log(2 / alpha)
    variance = mean_square.clamp(max=1.0) * n / (n - 1)
    return (2 * variance * log_term / n).sqrt() + 7 * log_term / (3 * (n - 1))
