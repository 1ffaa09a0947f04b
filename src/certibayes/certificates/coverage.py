"""Certified coverage: the true theta stays in the highest-density region under any attack."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from torch import Tensor, nn

from certibayes.certificates.base import Certificate, UnsoundBoundError, verdicts
from certibayes.certificates.confidence import split_confidence
from certibayes.certificates.coverage_draws import CoverageDraws, at_true_thetas
from certibayes.certificates.density_results import CoverageResult
from certibayes.certificates.inputs import require_float64, require_in_ball, require_thetas
from certibayes.certificates.log_density_bounds import (
    Method,
    lower_log_density,
    require_enclosed,
    upper_log_density,
)
from certibayes.certificates.posterior_draws import draw_posterior
from certibayes.certificates.posterior_shift import PosteriorShift
from certibayes.certificates.shift_bounds import RELATIVE_ROUNDING
from certibayes.config.certificates import Coverage as CoverageSpec
from certibayes.estimators.base import Estimator
from certibayes.estimators.flow import weights_once
from certibayes.metrics.intervals.clopper_pearson import (
    clopper_pearson_lower,
    clopper_pearson_upper,
)
from certibayes.seeding import derive_seed
from certibayes.threat import Ball


class Coverage(Certificate[CoverageDraws, CoverageResult]):
    """theta* lies in the HPD region of level c of q(. | x') for every x' in the ball.

    theta* is in it if Q' = P_{theta ~ q(. | x')}[q(theta | x') > q(theta* | x')] < c, and
    Q' <= tau + P_{theta ~ q(. | x)}[U(theta) >= L(theta*)], where tau bounds the total variation
    and U, L bound log q(. | x') over the ball. `upper` adds the confidence bounds of both; the
    verdict is certified where it is below the level.
    """

    def __init__(self, spec: CoverageSpec) -> None:
        self.spec = spec

    def prepare(
        self, model: nn.Module, x: Tensor, target: Tensor | None, seed: int
    ) -> CoverageDraws:
        """Draw theta ~ q(. | x), once for all radii.

        Args:
            model: q(theta | x), float64.
            x: observations, shape (batch, x_dim), float64.
            target: true thetas, shape (batch, theta_dim), float64.
            seed: of all draws.

        Raises:
            ValueError: if the model is no estimator, model, x or thetas are not float64, shapes do
                not fit or a draw has no finite density.
        """
        if not isinstance(model, Estimator):
            raise ValueError(f"model: got {type(model).__name__}; allowed: an Estimator")
        require_float64(model, x)
        theta = require_thetas(target, len(x), model.theta_dim)
        return at_true_thetas(draw_posterior(model, x, self.spec.draws, seed), theta, seed)

    def certify(self, prepared: CoverageDraws, ball: Ball) -> CoverageResult:
        """Bound the mass that is denser than theta* over the ball around every x.

        Raises:
            ValueError: if an x lies outside the clip range or the estimator has no bound rule.
            UnsoundBoundError: if a bound does not enclose its value at x itself.
        """
        start = time.perf_counter()
        draws, spec = prepared.draws, self.spec
        ball = ball.to(draws.x)
        ball.require_inside_clip(draws.x)
        statements = spec.statements(len(draws.x))
        each = split_confidence(
            spec.confidence, statements * (1 if spec.bounds == "closed_form" else 2)
        )
        shift = PosteriorShift(spec.shift(each)).certify(draws, ball).upper
        events = self._may_be_denser(prepared, ball)
        denser = draws.x.new_tensor(
            [
                clopper_pearson_upper(int(count), len(events), 1 - each)
                for count in events.sum(0).tolist()
            ]
        )
        upper = (shift + denser).clamp(max=1.0)
        return CoverageResult(
            upper=upper,
            lower=torch.full_like(upper, -torch.inf),
            verdict=verdicts(upper < spec.level, torch.zeros_like(upper).bool()),
            confidence=spec.confidence,
            seconds=time.perf_counter() - start,
            shift=shift,
            denser=denser,
            comparison=events[: spec.comparison_draws].double().mean(0),
        )

    def _may_be_denser(self, prepared: CoverageDraws, ball: Ball) -> Tensor:
        """Return U(theta) >= L(theta*) for every draw, bool, shape (n, batch)."""
        draws = prepared.draws
        method: Method = "crown_ibp" if self.spec.bounds == "closed_form" else self.spec.bounds
        at_truth = lower_log_density(method, draws.model, prepared.target, draws.x, ball)
        no_bound = torch.full_like(at_truth, torch.inf)
        require_enclosed(at_truth, prepared.log_prob, no_bound)
        threshold = at_truth - RELATIVE_ROUNDING * (1 + at_truth.abs())
        upper = torch.empty_like(draws.log_prob)
        with weights_once(draws.model):
            for some, group in draws.groups():
                for rows, theta in group.blocks():
                    upper[rows, some] = upper_log_density(method, draws.model, theta, group.x, ball)
        require_enclosed(torch.full_like(upper, -torch.inf), draws.log_prob, upper)
        return ~(upper < threshold)

    def refute(
        self, prepared: CoverageDraws, result: CoverageResult, attacked: Tensor, ball: Ball
    ) -> CoverageResult:
        """Confront a result with attacked observations, on the comparison draws and on fresh ones.

        `lower` becomes the share of `comparison_draws` fresh draws from q(. | x') that are denser
        than theta*; refuted where the Clopper-Pearson lower bound of that mass exceeds the level.

        Raises:
            ValueError: if an attacked x is not float64 or lies outside the ball.
            UnsoundBoundError: if more comparison draws are denser than theta* at x' than the
                bounds allow.
        """
        draws, few = prepared.draws, self.spec.comparison_draws
        require_in_ball(ball.to(draws.x), draws.x, attacked)
        with torch.no_grad():
            posterior = draws.model(attacked)
            at_truth = posterior.log_prob(prepared.target)
            common = (posterior.log_prob(draws.theta[:few]) > at_truth).double().mean(0)
        beaten = common > result.comparison + RELATIVE_ROUNDING
        if beaten.any():
            row = int(beaten.nonzero()[0])
            raise UnsoundBoundError(
                f"denser draws of observation {row}: an attack reaches {float(common[row])}, the "
                f"bound is {float(result.comparison[row])}"
            )
        fresh = draw_posterior(draws.model, attacked, few, derive_seed(prepared.seed, "refute"))
        counts = (fresh.log_prob > at_truth).sum(0)
        each = split_confidence(self.spec.confidence, self.spec.statements(len(attacked)))
        sure = counts.new_tensor(
            [clopper_pearson_lower(int(count), few, 1 - each) for count in counts.tolist()],
            dtype=torch.float64,
        )
        return replace(
            result,
            lower=torch.maximum(result.lower, counts.double() / few),
            verdict=verdicts(result.certified, result.refuted | (sure > self.spec.level)),
        )
