"""The certificate of a posterior under audit, cut by the prior's support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.audit.attacking import AttackAt
from certibayes.audit.settings import AuditSettings
from certibayes.audit.subject import Subject
from certibayes.certificates.base import Verdict, verdicts
from certibayes.certificates.posterior_shift import PosteriorShift
from certibayes.metrics.intervals.clopper_pearson import clopper_pearson_lower
from certibayes.threat import Ball


@dataclass(frozen=True)
class CertifiedAt:
    """The certificate at one epsilon, all of shape (batch,), float64.

    Attributes:
        epsilon: radius.
        upper: bound of the total variation of the posterior that a user sees, at most 1.
        uncut: the same before the cut, of q.
        reached: largest total variation of q that an attack reaches on the draws of the
            comparison; -inf without an attack.
        verdict: one per observation.
        seconds: time taken.
    """

    epsilon: float
    upper: Tensor
    uncut: Tensor
    reached: Tensor
    verdict: tuple[Verdict, ...]
    seconds: float


@dataclass(frozen=True)
class Certified:
    """The certificate over all epsilons.

    Attributes:
        mass: lower confidence bound of the mass inside the support at every x; 1 = not cut.
        rows: one per epsilon.
    """

    mass: Tensor
    rows: tuple[CertifiedAt, ...]


def certified(
    subject: Subject,
    x: Tensor,
    balls: list[Ball],
    attacks: Sequence[AttackAt],
    settings: AuditSettings,
) -> Certified:
    """Bound the total variation between the posteriors at x and at every x' of the ball.

    With P = q(. | x), Q = q(. | x'), A the support and TV(P, Q) <= t, the cut posteriors satisfy
    TV(P_A, Q_A) <= t / max(P(A), Q(A)) <= t / P(A): see docs/audit.md. P(A) is bounded from below
    by Clopper and Pearson from the draws inside; both bounds hold at once with the stated
    confidence, each with half of 1 - confidence.

    Args:
        subject: with an estimator that can be bounded.
        x: observations, shape (batch, x_dim), float64.
        balls: one per epsilon, l2 or linf.
        attacks: what was reached, held against the bound before the cut, and what one of them
            surely moves by more than tau, which is refuted.
        settings: draws and confidence.

    Raises:
        UnsoundBoundError: if an attack exceeds the bound on the same draws.
    """
    spec = settings.certificate(subject.cut)
    certificate = PosteriorShift(spec)
    estimator = subject.estimator
    assert estimator is not None
    prepared = certificate.prepare(estimator, x, None, settings.seed_of("certificate"))
    mass = x.new_ones(len(x))
    if subject.inside is not None:
        inside = subject.inside(prepared.theta)
        counts = [int(count) for count in inside.sum(0)]
        alpha = 1 - spec.confidence
        mass = x.new_tensor([clopper_pearson_lower(k, len(inside), alpha) for k in counts])
    rows = []
    for epsilon, ball in zip(settings.perturbation.epsilons, balls, strict=True):
        result = certificate.certify(prepared, ball)
        refuted = torch.zeros(len(x), dtype=torch.bool)
        for one in attacks:
            if one.epsilon == epsilon:
                result = certificate.refute(prepared, result, one.x, ball)
                refuted |= one.surely > spec.tau
        upper = torch.where(mass > 0, result.upper / mass, 1.0).clamp(max=1.0)
        verdict = verdicts(upper <= spec.tau, refuted)
        rows.append(
            CertifiedAt(epsilon, upper, result.upper, result.lower, verdict, result.seconds)
        )
    return Certified(mass, tuple(rows))
