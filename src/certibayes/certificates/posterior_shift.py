"""Certified total variation between the posterior at x and at every x' in a ball."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from certibayes import registry
from certibayes.certificates.base import (
    Certificate,
    CertificateResult,
    UnsoundBoundError,
    verdicts,
)
from certibayes.certificates.confidence import split_confidence
from certibayes.certificates.forward_kl_bound import forward_kl_bound
from certibayes.certificates.inputs import require_float64, require_in_ball
from certibayes.certificates.posterior_draws import PosteriorDraws, draw_posterior
from certibayes.certificates.shift_bounds import RELATIVE_ROUNDING, ShiftBounds
from certibayes.certificates.surely_reached import require_not_surely_beaten
from certibayes.config.certificates import PosteriorShift as PosteriorShiftSpec
from certibayes.estimators.base import Estimator
from certibayes.metrics.intervals.select import mean_lower
from certibayes.metrics.standard_error import Estimate
from certibayes.metrics.total_variation import total_variation_terms
from certibayes.seeding import derive_seed
from certibayes.threat import Ball


@dataclass(frozen=True)
class PosteriorShiftResult(CertificateResult):
    """`upper` bounds the total variation; the rest explains it. All of shape (batch,), float64.

    Attributes:
        mean: mean certified term over all draws, without its confidence width.
        comparison: the same over the first `comparison_draws` draws: what an attack on these
            draws never exceeds.
        comparison_kl: mean of log q(theta | x) - L(theta) over the same draws, nats.
        kl_estimate: estimate, not a certificate, of the bound E[log q(theta | x) - L(theta)] of
            the forward KL, with its standard error, nats; infinite where a draw has no bound.
        kl_bound: certified bound of the forward KL, deterministic, nats; None for estimators
            without a closed form.
    """

    mean: Tensor
    comparison: Tensor
    comparison_kl: Tensor
    kl_estimate: Estimate
    kl_bound: Tensor | None


class PosteriorShift(Certificate[PosteriorDraws, PosteriorShiftResult]):
    """TV(q(. | x), q(. | x')) <= tau for every x' in the ball, with stated confidence.

    With L(theta) a lower bound of log q(theta | x') over the ball and theta ~ q(. | x),
    TV = E[(1 - q(theta | x') / q(theta | x))+] <= E[(1 - exp(L(theta) - log q(theta | x)))+].
    The terms lie in [0, 1]; `upper` is the one-sided confidence bound of their mean at `confidence`
    for each observation alone. Number of draws and interval are fixed before any draw. Families
    with a closed form have deterministic bounds of TV itself (`bounds: closed_form`). The
    confidence is split where all observations, all radii or answers are to hold at once.
    """

    def __init__(self, spec: PosteriorShiftSpec) -> None:
        self.spec = spec

    def prepare(
        self, model: nn.Module, x: Tensor, target: Tensor | None, seed: int
    ) -> PosteriorDraws:
        """Draw theta ~ q(. | x), float64, once for all radii; `target` is not used.

        A closed form needs the draws of the comparison only, unless there are questions to answer.
        Pilot draws are taken from streams of their own where the route needs them.

        Raises:
            ValueError: if model or x are not float64, x is not finite, the model is no registered
                estimator or a draw has no finite density.
        """
        if not isinstance(model, Estimator):
            raise ValueError(f"model: got {type(model).__name__}; allowed: an Estimator")
        require_float64(model, x)
        few = self.spec.bounds == "closed_form" and self.spec.answers is None
        draws = self.spec.comparison_draws if few else self.spec.draws
        drawn = draw_posterior(model, x, draws, seed)
        if self.spec.route == "direct":
            return drawn
        pilot = draw_posterior(model, x, self.spec.pilot_draws, derive_seed(seed, "pilot"))
        return replace(drawn, pilot=pilot)

    def certify(self, prepared: PosteriorDraws, ball: Ball) -> PosteriorShiftResult:
        """Bound the total variation over the ball around every x.

        Raises:
            ValueError: if an x lies outside the clip range or the estimator has no bound rule.
            UnsoundBoundError: if L(theta) exceeds log q(theta | x): x itself is in the ball.
        """
        start = time.perf_counter()
        ball = ball.to(prepared.x)
        ball.require_inside_clip(prepared.x)
        if self.spec.bounds == "closed_form":
            prepared = prepared.first(self.spec.comparison_draws)
        spec = self.spec.model_copy(update={"confidence": self._confidence(len(prepared.x))})
        bounds: ShiftBounds = registry.load("shift_bounds", spec.bounds)(spec, prepared, ball)
        kl = bounds.forward_kl
        return PosteriorShiftResult(
            upper=bounds.upper,
            lower=torch.full_like(bounds.upper, -torch.inf),
            verdict=verdicts(bounds.upper <= self.spec.tau, torch.zeros_like(bounds.upper).bool()),
            confidence=bounds.confidence or self.spec.confidence,
            mean=bounds.mean,
            comparison=bounds.comparison,
            comparison_kl=bounds.comparison_kl,
            kl_estimate=bounds.kl_estimate,
            kl_bound=forward_kl_bound(prepared, ball) if kl is None else kl,
            seconds=time.perf_counter() - start,
        )

    def _confidence(self, observations: int) -> float:
        """Return the confidence of the shift of one observation at one radius."""
        questions = 1 if self.spec.answers is None else 2
        return split_confidence(
            self.spec.confidence, questions * self.spec.statements(observations)
        )

    def refute(
        self,
        prepared: PosteriorDraws,
        result: PosteriorShiftResult,
        attacked: Tensor,
        ball: Ball,
    ) -> PosteriorShiftResult:
        """Confront a result with attacked observations on the comparison draws.

        The attack must not have been chosen on these draws.

        Raises:
            ValueError: if an attacked x is not float64 or lies outside the ball.
        """
        require_in_ball(ball.to(prepared.x), prepared.x, attacked)
        first = slice(self.spec.comparison_draws)
        with torch.no_grad():
            log_prob = prepared.model(attacked).log_prob(prepared.theta[first])
        return self.refute_on_draws(result, prepared.log_prob[first], log_prob)

    def refute_on_draws(
        self, result: PosteriorShiftResult, log_prob: Tensor, attacked_log_prob: Tensor
    ) -> PosteriorShiftResult:
        """Confront a result with an attack's log densities on the comparison draws.

        `lower` becomes the attack's mean term; the verdict is `refuted` where the lower confidence
        bound of that mean, same interval and confidence, exceeds tau. On these draws `lower` never
        exceeds `result.comparison`, item by item, because L(theta) <= log q(theta | x'). An `upper`
        that rests on no draw is confronted with what the attack surely reaches, see
        `require_not_surely_beaten`.

        Args:
            result: the certificate.
            log_prob: log q(theta | x) at the comparison draws, shape (m, batch), float64.
            attacked_log_prob: log q(theta | x') at the same draws, shape (m, batch), float64.

        Raises:
            ValueError: if an attacked log density is NaN.
            UnsoundBoundError: if the attack exceeds the bound on the common draws, or surely a
                deterministic `upper`.
        """
        terms = total_variation_terms(log_prob, attacked_log_prob)
        confident = mean_lower(self.spec.interval, terms, 1 - self._confidence(terms.shape[1]))
        reached = terms.mean(0)
        beaten = reached > result.comparison + RELATIVE_ROUNDING
        if beaten.any():
            row = int(beaten.nonzero()[0])
            raise UnsoundBoundError(
                f"total variation of observation {row}: an attack reaches {float(reached[row])} "
                f"on the draws where the bound is {float(result.comparison[row])}"
            )
        if result.deterministic:
            require_not_surely_beaten(result.upper, terms)
        refuted = result.refuted | (confident > self.spec.tau)
        return replace(
            result,
            lower=torch.maximum(result.lower, reached),
            verdict=verdicts(result.certified, refuted),
        )
