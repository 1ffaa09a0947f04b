"""Certified decisions of the true predictive, the mean over the whole posterior of the weights."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from torch import Tensor, nn

from certibayes.bnn.margin_bounds import BoundsName, MarginBounds, margin_bounds
from certibayes.bnn.rows_at_once import rows_at_once
from certibayes.certificates.base import Certificate, verdicts
from certibayes.certificates.confidence import split_confidence
from certibayes.certificates.decision import (
    ROUNDING,
    LabeledObservations,
    labeled,
    largest_rival,
    margins_reached,
    planes_at_once,
    require_enclosed,
)
from certibayes.certificates.inputs import require_in_ball
from certibayes.certificates.posterior_decision_result import PosteriorDecisionResult
from certibayes.config.certificates import PosteriorDecision as PosteriorDecisionSpec
from certibayes.metrics.intervals.width import mean_width
from certibayes.threat import Ball

SPAN = 2.0
"""A difference of two probabilities lies in [-1, 1]."""


class PosteriorDecision(Certificate[LabeledObservations, PosteriorDecisionResult]):
    """The label y stays the most probable one under E_w softmax(f(x'; w)) for every x' in the ball.

    Let (x*, k*) be the worst x' and rival for the true predictive. They depend on x, the ball and
    the posterior, not on the draws, so that p_k* - p_y at x* has independent values in [-1, 1] at
    the drawn weights. Their mean is at most `mean` = max_k of the bounds on these draws, their
    sample variance at most what their bounds allow, and their expectation, with the stated
    confidence, at most `upper` = max_k (bound of the mean + width). Neither classes nor points of
    the ball share the confidence.
    """

    def __init__(self, spec: PosteriorDecisionSpec) -> None:
        self.spec = spec

    def prepare(
        self, model: nn.Module, x: Tensor, target: Tensor | None, seed: int
    ) -> LabeledObservations:
        """Pair observations with their labels; the model holds the draws, `seed` is not used.

        Args:
            model: a Predictive of `draws` fresh, independent weight vectors: none that a training
                stored, an attack saw, or another choice depended on.
            x: observations, shape (batch, x_dim), float64.
            target: labels, shape (batch,).
            seed: not used.

        Raises:
            ValueError: as `Decision.prepare`, or if the model has another number of samples.
        """
        prepared = labeled(model, x, target)
        if prepared.model.samples != self.spec.draws:
            raise ValueError(
                f"model: got {prepared.model.samples} weight samples; allowed: {self.spec.draws}, "
                "the value of draws"
            )
        return prepared

    def certify(self, prepared: LabeledObservations, ball: Ball) -> PosteriorDecisionResult:
        """Bound the largest margin of a rival over the ball around every x.

        Raises:
            ValueError: if an x lies outside the clip range: clamping would certify everything.
            UnsoundBoundError: if a bound is below the margin at x itself, on the drawn weights.
        """
        start = time.perf_counter()
        ball = ball.to(prepared.x)
        ball.require_inside_clip(prepared.x)
        upper, mean = torch.ones_like(prepared.margin), torch.ones_like(prepared.margin)
        everything = torch.arange(len(upper))
        for rows in everything.split(rows_at_once(prepared.model, prepared.x)):
            upper[rows], mean[rows] = self._bound(prepared, rows, ball, "interval")
        if self.spec.bounds != "interval":
            undecided = everything[(upper >= -ROUNDING) & (prepared.margin < 0)]
            for rows in undecided.split(planes_at_once(prepared.model, prepared.x)):
                linear = self._bound(prepared, rows, ball, self.spec.bounds)
                upper[rows] = torch.minimum(upper[rows], linear[0])
                mean[rows] = torch.minimum(mean[rows], linear[1])
        require_enclosed(prepared.margin, mean)
        return PosteriorDecisionResult(
            upper=upper,
            lower=torch.full_like(upper, -torch.inf),
            verdict=verdicts(upper < -ROUNDING, torch.zeros_like(upper).bool()),
            confidence=self.spec.confidence,
            seconds=time.perf_counter() - start,
            mean=mean,
        )

    def refute(
        self,
        prepared: LabeledObservations,
        result: PosteriorDecisionResult,
        attacked: Tensor,
        ball: Ball,
    ) -> PosteriorDecisionResult:
        """Confront a result with attacked observations that were found without these draws.

        `lower` becomes the largest margin reached on the drawn weights; refuted, with the stated
        confidence, where a lower confidence bound of a rival's margin is positive: the confidence
        is shared by the rivals, because the one with the largest margin is chosen on the draws.

        Raises:
            ValueError: if an attacked x is not float64 or lies outside the ball.
            UnsoundBoundError: if a margin that is reached exceeds `mean`.
        """
        require_in_ball(ball.to(prepared.x), prepared.x, attacked)
        reached = margins_reached(prepared, attacked)
        require_enclosed(reached, result.mean)
        refuted = result.refuted.clone()
        positive = (reached > 0).nonzero().squeeze(1)
        for rows in positive.split(rows_at_once(prepared.model, attacked)):
            surely = self._surely_reached(prepared, attacked[rows], prepared.target[rows])
            refuted[rows] |= surely > 0
        return replace(
            result,
            lower=torch.maximum(result.lower, reached),
            verdict=verdicts(result.certified, refuted),
        )

    def _bound(
        self, prepared: LabeledObservations, rows: Tensor, ball: Ball, bounds: BoundsName
    ) -> tuple[Tensor, Tensor]:
        """Return `upper` and `mean` of some rows."""
        y = prepared.target[rows]
        with torch.no_grad():
            found = margin_bounds(prepared.model, y, prepared.x[rows], ball, bounds)
        alpha = 1 - split_confidence(
            self.spec.confidence, self.spec.statements(len(prepared.target))
        )
        width = self._width(variance_most(found), alpha)
        upper = largest_rival(found.mean_upper + width, y)
        return _known(upper), _known(largest_rival(found.mean_upper, y))

    def _surely_reached(self, prepared: LabeledObservations, x: Tensor, y: Tensor) -> Tensor:
        """Return the largest lower confidence bound of a rival's margin at x, shape (batch,)."""
        with torch.no_grad():
            probability = prepared.model.sample_logits(x).softmax(-1)
        margins = probability - probability.gather(-1, y.expand(len(probability), -1).unsqueeze(-1))
        rivals = margins.shape[-1] - 1
        statements = self.spec.statements(len(prepared.target)) * rivals
        alpha = 1 - split_confidence(self.spec.confidence, statements)
        return largest_rival(margins.mean(0) - self._width(margins.var(0), alpha), y)

    def _width(self, variance: Tensor, alpha: float) -> Tensor:
        span = torch.full_like(variance, SPAN)
        return mean_width(self.spec.interval, variance, span, self.spec.draws, alpha)


def variance_most(found: MarginBounds) -> Tensor:
    """Return the largest unbiased sample variance that bounds of every draw allow.

    Around any number c it is at most n / (n - 1) times the mean of max((lower - c)^2,
    (upper - c)^2); c is the mean of the midpoints.

    Args:
        found: bounds of n draws.

    Returns:
        Shape (batch, classes).
    """
    n = len(found.upper)
    center = ((found.lower + found.upper) / 2).mean(0)
    far = torch.maximum((found.lower - center).square(), (found.upper - center).square())
    return far.mean(0) * n / (n - 1)


def _known(bound: Tensor) -> Tensor:
    return torch.where(bound.isnan(), 1.0, bound).clamp(max=1.0)
