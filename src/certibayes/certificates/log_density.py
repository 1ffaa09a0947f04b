"""Certified log density of a given theta."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from certibayes.certificates.base import Certificate, UnsoundBoundError, verdicts
from certibayes.certificates.density_results import LogDensityResult
from certibayes.certificates.inputs import require_float64, require_in_ball, require_thetas
from certibayes.certificates.log_density_bounds import (
    lower_log_density,
    require_enclosed,
    upper_log_density,
)
from certibayes.certificates.shift_bounds import RELATIVE_ROUNDING
from certibayes.config.certificates import LogDensity as LogDensitySpec
from certibayes.estimators.base import Estimator
from certibayes.threat import Ball


@dataclass(frozen=True)
class ThetaPairs:
    """An estimator at observations x, (batch, x_dim), each with one theta, (batch, theta_dim).

    Attributes:
        log_prob: log q(theta | x), shape (batch,).
    """

    model: Estimator
    x: Tensor
    theta: Tensor
    log_prob: Tensor


class LogDensity(Certificate[ThetaPairs, LogDensityResult]):
    """log q(theta* | x') >= log q(theta* | x) - drop for every x' in the ball.

    `upper` = log q(theta* | x) - L(theta*) with L a lower bound over the ball. Deterministic
    (confidence 1.0), no draws. A theta* without finite density at x is `unknown`.
    """

    def __init__(self, spec: LogDensitySpec) -> None:
        self.spec = spec

    def prepare(self, model: nn.Module, x: Tensor, target: Tensor | None, seed: int) -> ThetaPairs:
        """Pair observations with their thetas; nothing is drawn, `seed` is not used.

        Args:
            model: q(theta | x), float64.
            x: observations, shape (batch, x_dim), float64.
            target: thetas, shape (batch, theta_dim), float64.
            seed: not used.

        Raises:
            ValueError: if the model is no estimator, model, x or thetas are not float64, or shapes
                do not fit.
        """
        if not isinstance(model, Estimator):
            raise ValueError(f"model: got {type(model).__name__}; allowed: an Estimator")
        require_float64(model, x)
        theta = require_thetas(target, len(x), model.theta_dim)
        with torch.no_grad():
            return ThetaPairs(model, x, theta, model(x).log_prob(theta))

    def certify(self, prepared: ThetaPairs, ball: Ball) -> LogDensityResult:
        """Bound the log density of every theta over the ball around its x.

        Raises:
            ValueError: if an x lies outside the clip range or the estimator has no bound rule.
            UnsoundBoundError: if the bounds do not enclose log q(theta | x).
        """
        start = time.perf_counter()
        ball = ball.to(prepared.x)
        ball.require_inside_clip(prepared.x)
        about = (self.spec.bounds, prepared.model, prepared.theta, prepared.x, ball)
        least, most = lower_log_density(*about), upper_log_density(*about)
        require_enclosed(least, prepared.log_prob, most)
        drop = prepared.log_prob - least
        upper = torch.where(drop.isnan(), torch.inf, drop.clamp(min=0.0))
        return LogDensityResult(
            upper=upper,
            lower=torch.full_like(upper, -torch.inf),
            verdict=verdicts(upper <= self.spec.drop, torch.zeros_like(upper).bool()),
            confidence=1.0,
            seconds=time.perf_counter() - start,
            least=least,
            most=most,
        )

    def refute(
        self, prepared: ThetaPairs, result: LogDensityResult, attacked: Tensor, ball: Ball
    ) -> LogDensityResult:
        """Confront a result with attacked observations; refuted where the drop exceeds the claim.

        Raises:
            ValueError: if an attacked x is not float64 or lies outside the ball.
            UnsoundBoundError: if the log density at an attacked x is outside its bounds.
        """
        require_in_ball(ball.to(prepared.x), prepared.x, attacked)
        with torch.no_grad():
            log_prob = prepared.model(attacked).log_prob(prepared.theta)
        require_enclosed(result.least, log_prob, result.most)
        reached = prepared.log_prob - log_prob
        reached = torch.where(reached.isnan(), -torch.inf, reached)
        slack = RELATIVE_ROUNDING * (1 + prepared.log_prob.abs() + log_prob.abs())
        beaten = reached.isfinite() & (reached > result.upper + slack)
        if beaten.any():
            row = int(beaten.nonzero()[0])
            raise UnsoundBoundError(
                f"drop of observation {row}: an attack reaches {float(reached[row])}, the bound is "
                f"{float(result.upper[row])}"
            )
        return replace(
            result,
            lower=torch.maximum(result.lower, reached),
            verdict=verdicts(result.certified, result.refuted | (reached > self.spec.drop)),
        )
