"""Shift of a posterior with one worst observation for all draws, by linear bounds."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.bounds.graph import Input
from certibayes.certificates.confidence import split_confidence
from certibayes.certificates.direct_bound import DirectBound, MeanBounds, bounded, far_cut
from certibayes.certificates.linear_moments import LinearMoments
from certibayes.certificates.planes import planes_below
from certibayes.certificates.posterior_draws import PosteriorDraws
from certibayes.certificates.shift_bounds import ShiftBounds, joined
from certibayes.certificates.truncated_kl import Stated, TruncatedKL
from certibayes.config.certificates import PosteriorShift
from certibayes.estimators.base import Estimator
from certibayes.estimators.bounded_density import standardized_ball
from certibayes.estimators.flow import weights_once
from certibayes.metrics.intervals.width import mean_width
from certibayes.metrics.standard_error import Estimate, estimate
from certibayes.threat import Ball

CUT_DRAWS = 64
"""First draws whose planes say what counts as far."""


def shared_bounds(spec: PosteriorShift, prepared: PosteriorDraws, ball: Ball) -> ShiftBounds:
    """Bound the total variation at all x' at once, by planes that share x' among the draws.

    With t the standardised x' and g_k(t) = slope_k . (t - center) + offset_k a lower bound of
    log q(theta_k | x') - log q(theta_k | x), a term f_k = (1 - q(theta_k | x') / q(theta_k | x))+
    is at most (1 - exp(g_k))+; the mean of these is bounded over t from the first two moments of g,
    draws whose planes say little by their own worst cases instead (`DirectBound`). For the x' that
    truly is worst, a fixed point, the n terms are independent and lie in [0, 1], so the route
    "direct" adds the width of the stated interval once; the sample variance in empirical Bernstein
    is at most n / (n - 1) times the bound of the mean of f^2. The route "truncated_kl": see
    `TruncatedKL`.

    Observations are taken a few at a time, which bounds memory; whatever no theta changes is
    bounded once for each.

    Raises:
        ValueError: if the estimator has no graph.
        UnsoundBoundError: if a linear bound exceeds log q(theta | x) at x itself.
    """
    with torch.no_grad(), weights_once(prepared.model):
        return joined([_of_group(spec, group, ball) for _, group in prepared.groups()])


def _of_group(spec: PosteriorShift, prepared: PosteriorDraws, ball: Ball) -> ShiftBounds:
    model = prepared.model
    region, center = standardized_ball(model, prepared.x, ball), model.standardize(prepared.x)
    perturbed = Input(region, spec.bounds == "crown", remember=True)
    cut = far_cut(planes_below(prepared.first(CUT_DRAWS), perturbed, center))
    every, first = (DirectBound(region, center, cut) for _ in range(2))
    controlled, alone = LinearMoments(region, center), []
    truncated = _truncated(spec, prepared, perturbed, center)
    for planes in planes_below(prepared, perturbed, center):
        compared = spec.comparison_draws - planes.rows.start
        every.add(planes)
        if compared > 0:
            first.add(planes.first(compared))
        controlled.add(planes.slope - _scores(model, prepared.x, planes.theta), planes.offset)
        alone.append(-planes.least)
        if truncated is not None:
            truncated.add(planes.slope, planes.offset)
    on_first = first.bounds()
    upper, mean = _by_route(spec, every.bounds(), len(prepared.theta), truncated)
    return ShiftBounds(
        upper=upper,
        mean=mean,
        comparison=on_first.variation,
        comparison_kl=on_first.divergence,
        kl_estimate=_smaller(controlled.mean_at_worst(), estimate(torch.cat(alone))),
    )


def _truncated(
    spec: PosteriorShift, prepared: PosteriorDraws, perturbed: Input, center: Tensor
) -> TruncatedKL | None:
    if prepared.pilot is None:
        return None
    planes = planes_below(prepared.pilot, perturbed, center)
    pilot = [(one.slope, one.offset) for one in planes]
    stated = Stated(spec.interval, _each(spec), len(prepared.theta))
    return TruncatedKL.of_pilot(perturbed.region, center, pilot, stated)


def _by_route(
    spec: PosteriorShift, every: MeanBounds, n: int, truncated: TruncatedKL | None
) -> tuple[Tensor, Tensor]:
    """Return the bound of the total variation, and the same without its confidence widths."""
    each = _each(spec)
    direct = _direct(spec, every, n, each), every.variation
    if truncated is None:
        return direct
    other = truncated.upper(spec.interval, each), truncated.mean()
    if spec.route == "truncated_kl":
        return other
    return torch.minimum(direct[0], other[0]), torch.minimum(direct[1], other[1])


def _each(spec: PosteriorShift) -> float:
    """Return the confidence of a route."""
    return split_confidence(spec.confidence, 2 if spec.route == "best" else 1)


def _direct(spec: PosteriorShift, every: MeanBounds, n: int, confidence: float) -> Tensor:
    mean, variance = every.variation, every.square * n / (n - 1)
    width = mean_width(spec.interval, variance, torch.ones_like(mean), n, 1 - confidence)
    return (mean + width).clamp(max=1.0)


def _smaller(planes: tuple[Tensor, Tensor], alone: Estimate) -> Estimate:
    """Return the estimate by planes, or by worst cases per draw where their mean is smaller.

    Args:
        planes: least mean of the log ratio with its standard error.
        alone: of the bound of minus the log ratio.
    """
    mean, error = bounded(-planes[0]), planes[1].nan_to_num(nan=torch.inf)
    other = alone.mean < mean
    return Estimate(
        torch.where(other, alone.mean, mean), torch.where(other, alone.standard_error, error)
    )


@torch.enable_grad()
def _scores(model: Estimator, x: Tensor, theta: Tensor) -> Tensor:
    """Return the gradients of log q(theta | x) by the standardised x, shape (n, batch, x_dim)."""
    given = x.repeat(len(theta), 1).requires_grad_()
    log_prob = model(given).log_prob(theta.flatten(0, 1))
    (by_x,) = torch.autograd.grad(log_prob.sum(), given)
    (scale,) = torch.autograd.grad(model.standardize(given).sum(), given)
    return (by_x / scale).view(len(theta), *x.shape)
