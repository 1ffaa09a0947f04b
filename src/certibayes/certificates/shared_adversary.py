"""Shift of a posterior with one worst observation for all draws, by linear bounds."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.bounds.ellipsoid import Region
from certibayes.certificates.confidence import split_confidence
from certibayes.certificates.linear_moments import LinearMoments
from certibayes.certificates.majorant import mean_upper_bound
from certibayes.certificates.planes import planes_below
from certibayes.certificates.posterior_draws import PosteriorDraws
from certibayes.certificates.shift_bounds import ShiftBounds
from certibayes.certificates.truncated_kl import TruncatedKL
from certibayes.config.certificates import PosteriorShift
from certibayes.estimators.base import Estimator
from certibayes.estimators.bounded_density import standardized_ball
from certibayes.metrics.intervals.width import mean_width
from certibayes.metrics.standard_error import Estimate
from certibayes.threat import Ball


def shared_bounds(spec: PosteriorShift, prepared: PosteriorDraws, ball: Ball) -> ShiftBounds:
    """Bound the total variation at all x' at once, by planes that share x' among the draws.

    With t the standardised x' and g_k(t) = slope_k . (t - center) + offset_k a lower bound of
    log q(theta_k | x') - log q(theta_k | x), a term (1 - q(theta_k | x') / q(theta_k | x))+ is at
    most (1 - exp(g_k))+; the mean of these is bounded over t from the first two moments of g. For
    the x' that truly is worst, a fixed point, the n terms are independent and lie in [0, 1], so the
    route "direct" adds the width of the stated interval once; the sample variance in empirical
    Bernstein is at most n / (n - 1) times the bound of the mean of g^2, because a term is at most
    |g_k|. The route "truncated_kl": see `TruncatedKL`.

    Raises:
        ValueError: if the estimator has no graph.
        UnsoundBoundError: if a linear bound exceeds log q(theta | x) at x itself.
    """
    model, tight = prepared.model, spec.bounds == "crown"
    region, center = standardized_ball(model, prepared.x, ball), model.standardize(prepared.x)
    every, first, controlled = (LinearMoments(region, center) for _ in range(3))
    truncated = _truncated(prepared.pilot, region, center, tight)
    for planes in planes_below(prepared, region, center, tight):
        compared = max(0, spec.comparison_draws - planes.rows.start)
        every.add(planes.slope, planes.offset)
        first.add(planes.slope[:compared], planes.offset[:compared])
        controlled.add(planes.slope - _scores(model, prepared.x, planes.theta), planes.offset)
        if truncated is not None:
            truncated.add(planes.slope, planes.offset)
    first_kl = _bounded(-first.least_mean())
    least, error = controlled.mean_at_worst()
    upper, mean = _by_route(spec, every, truncated)
    return ShiftBounds(
        upper=upper,
        mean=mean,
        comparison=mean_upper_bound(first_kl, _bounded(first.largest_mean_square())),
        comparison_kl=first_kl,
        kl_estimate=Estimate(_bounded(-least), error.nan_to_num(nan=torch.inf)),
    )


def _truncated(
    pilot: PosteriorDraws | None, region: Region, center: Tensor, tight: bool
) -> TruncatedKL | None:
    if pilot is None:
        return None
    planes = planes_below(pilot, region, center, tight)
    return TruncatedKL.of_pilot(region, center, ((one.slope, one.offset) for one in planes))


def _by_route(
    spec: PosteriorShift, every: LinearMoments, truncated: TruncatedKL | None
) -> tuple[Tensor, Tensor]:
    """Return the bound of the total variation, and the same without its confidence widths."""
    if truncated is None:
        return _direct(spec, every, spec.confidence)
    if spec.route == "truncated_kl":
        return truncated.upper(spec.interval, spec.confidence), truncated.mean()
    each = split_confidence(spec.confidence, 2)
    upper, mean = _direct(spec, every, each)
    return (
        torch.minimum(upper, truncated.upper(spec.interval, each)),
        torch.minimum(mean, truncated.mean()),
    )


def _direct(spec: PosteriorShift, every: LinearMoments, confidence: float) -> tuple[Tensor, Tensor]:
    n, second = every.count, _bounded(every.largest_mean_square())
    mean = mean_upper_bound(_bounded(-every.least_mean()), second)
    variance = second.clamp(max=1.0) * n / (n - 1)
    width = mean_width(spec.interval, variance, torch.ones_like(mean), n, 1 - confidence)
    return (mean + width).clamp(max=1.0), mean


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
