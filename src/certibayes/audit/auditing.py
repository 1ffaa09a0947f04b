"""All of an audit, from the posterior to its findings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from certibayes.audit.attacking import AttackAt, attacked
from certibayes.audit.certifying import Certified, certified
from certibayes.audit.covering import CoverageAt, coverage_at
from certibayes.audit.cut import CutDraws, cut_draws
from certibayes.audit.detecting import DetectionAt, detection_at
from certibayes.audit.errors import AuditError
from certibayes.audit.inputs import AuditInputs
from certibayes.audit.predicting import predicted_at
from certibayes.audit.settings import AuditSettings
from certibayes.audit.subject import Subject


@dataclass(frozen=True)
class AttackFindings:
    """One attack at one epsilon, and what it does.

    Attributes:
        reached: the attack.
        coverage: at the attacked observations; None without true thetas.
        detection: None with too few observations.
        predicted: predictive distance, shape (batch,); None without a simulator.
    """

    reached: AttackAt
    coverage: CoverageAt | None
    detection: DetectionAt | None
    predicted: Tensor | None


@dataclass(frozen=True)
class Findings:
    """What an audit found.

    Attributes:
        clean: draws at the clean observations.
        coverage: at the clean observations; None without true thetas.
        predicted: predictive distance at the clean observations, or None.
        attacks: by attack, then epsilon.
        certificate: None where the network cannot be bounded, or none was asked for.
        uncertified: why there is no certificate; None = there is one.
    """

    clean: CutDraws
    coverage: CoverageAt | None
    predicted: Tensor | None
    attacks: tuple[AttackFindings, ...]
    certificate: Certified | None
    uncertified: str | None


def audit(
    subject: Subject,
    inputs: AuditInputs,
    settings: AuditSettings,
    simulator: Callable[[Tensor], Any] | None = None,
) -> Findings:
    """Attack, measure and certify a posterior.

    Args:
        subject: what is audited.
        inputs: observations, and what else is known of them.
        settings: sizes and efforts.
        simulator: maps theta, shape (n, theta_dim), to x, shape (n, x_dim).

    Raises:
        AuditError: if the inputs do not fit the posterior.
    """
    x, theta = inputs.x, inputs.theta
    if theta is not None and theta.shape[1] != subject.theta_dim:
        raise AuditError(f"theta: got {theta.shape[1]} parameters; allowed: {subject.theta_dim}")
    balls = inputs.balls(settings)
    unit = inputs.scale(settings.perturbation.unit).feature_std
    clean = cut_draws(subject, x, settings.report_draws, settings.seed_of("clean draws"))

    def coverage(at: Tensor, draws: CutDraws) -> CoverageAt | None:
        return None if theta is None else coverage_at(subject, theta, at, draws)

    def predicted(draws: CutDraws) -> Tensor | None:
        seed = settings.seed_of("simulations")
        return None if simulator is None else predicted_at(simulator, draws, x, unit, seed)

    found = tuple(
        AttackFindings(
            one,
            coverage(one.x, one.draws),
            detection_at(x, one.x, inputs.reference),
            predicted(one.draws),
        )
        for one in attacked(subject, x, clean, balls, settings)
    )
    why = _uncertified(subject, settings)
    proved = None
    if why is None:
        reached = [one.reached for one in found]
        proved = certified(subject, x, balls, reached, settings)
    return Findings(clean, coverage(x, clean), predicted(clean), found, proved, why)


def _uncertified(subject: Subject, settings: AuditSettings) -> str | None:
    if settings.bounds == "none":
        return "bounds: none was asked for"
    if settings.perturbation.norm == "l1":
        return "norm: l1 balls have no bounds; allowed: l2, linf"
    return subject.uncertified
