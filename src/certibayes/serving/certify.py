"""Certificates at new observations, as the study configured them, computed afresh."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from certibayes import registry
from certibayes.certificates.base import Certificate, CertificateResult
from certibayes.certificates.radius import certified_at_any_larger, least_over_larger
from certibayes.config.certificates import AnyCertificate, Decision, PosteriorShift
from certibayes.seeding import derive_seed
from certibayes.serving.package import Package
from certibayes.stages.observations import ball_of
from certibayes.tasks.base import Task
from certibayes.threat import Ball

Stated = PosteriorShift | Decision
"""Certificates that need no more than x and the stored model: `log_density` and `coverage` speak of
a given theta, `posterior_decision` and `probabilistic_safety` of the posterior of the weights."""
SEED_BITS = 53
"""As many as every reader of JSON keeps."""


@dataclass(frozen=True, eq=False)
class CertificateAt:
    """One certificate of the study at new observations and one epsilon.

    Attributes:
        name: in the study.
        kind: "posterior_shift" or "decision".
        norm, unit, epsilon: of the ball, see `ThreatModel`.
        clip: range of x' inside the ball; None = no range.
        inactive_features: how many features the ball does not move, as they never varied in the
            training: nothing is said of an x' that differs there.
        upper: certified bound, shape (batch,): total variation between the posteriors at x and at
            any x' of the ball; or the largest probability of a rival minus that of the label.
        certified: bool, shape (batch,); False = nothing is proved, which is no refutation.
        confidence: that `upper` holds, for each observation alone; 1.0 = deterministic. Below 1
            it is one if x was chosen without knowledge of the seed.
        tau: total variation that the study tolerates; None for a decision.
        seed: of the draws; the same seed gives the same bound.
        fresh: whether the seed was drawn after x was there; of a stated seed nobody here knows
            what was chosen with it in sight.
    """

    name: str
    kind: str
    norm: str
    unit: str
    epsilon: float
    clip: tuple[float, float] | None
    inactive_features: int
    upper: Tensor
    certified: Tensor
    confidence: float
    tau: float | None
    seed: int
    fresh: bool

    def __str__(self) -> str:
        """Return a sentence per observation; bounds are rounded up."""
        about = f"for every x' with {self.norm} distance <= {self.epsilon:g} ({self.unit})"
        if self.clip is not None:
            about += " in [{:g}, {:g}]".format(*self.clip)
        if self.inactive_features:
            about += f" and {self.inactive_features} inactive features as they are"
        known = self.fresh or self.confidence == 1.0
        unless = "" if known else " unless x was chosen with the seed in sight"
        lines = []
        for upper, proved in zip(self.upper.tolist(), self.certified.tolist(), strict=True):
            verdict = "certified" if proved else "unknown"
            if self.tau is None:
                lines.append(f"{self.name}: the predicted class stays {about}: {verdict}")
            else:
                bound = -(-upper * 1000 // 1) / 1000
                lines.append(
                    f"{self.name}: no event's posterior probability moves by more than "
                    f"{min(bound, 1.0):.3f} {about}, confidence {self.confidence:g}{unless}: "
                    f"{verdict} (tau {self.tau:g})"
                )
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Configured:
    """A certificate of the study with its balls, ascending, in the units of the task."""

    name: str
    spec: Stated
    balls: tuple[Ball, ...]


def fresh_seed() -> int:
    """Return a seed from the system's source of randomness, which nobody can foresee."""
    return secrets.randbits(SEED_BITS)


def configured(package: Package, task: Task) -> tuple[Configured, ...]:
    """Return the certificates of a model's study that can be computed at any x."""
    stated: Mapping[str, AnyCertificate] = package.certificates or {}
    return tuple(
        Configured(
            name,
            spec,
            tuple(
                ball_of(package.layout, package.job, task, spec.perturbation.at(epsilon))
                for epsilon in spec.perturbation.epsilons
            ),
        )
        for name, spec in stated.items()
        if isinstance(spec, Stated)
    )


def certify(
    model: nn.Module,
    x: Tensor,
    label: Tensor | None,
    certificates: Sequence[Configured],
    seed: int | None,
) -> tuple[CertificateAt, ...]:
    """Compute every certificate at every configured epsilon, in the order of the study.

    A bound with a confidence holds for an x that was not chosen with the seed in sight, so the
    draws are fresh unless a seed is given.

    Args:
        model: float64.
        x: shape (batch, x_dim), float64.
        label: class whose decision is certified, shape (batch,), int64; None for posteriors.
        certificates: of the study.
        seed: of the draws; None = from the system's source of randomness.

    Raises:
        OutsideClipError: if an x lies outside the range of a ball.
    """
    drawn = fresh_seed() if seed is None else seed
    found: list[CertificateAt] = []
    for one in certificates:
        found += _at_every_epsilon(model, x, label, one, drawn, seed is None)
    return tuple(found)


def _at_every_epsilon(
    model: nn.Module, x: Tensor, label: Tensor | None, one: Configured, seed: int, fresh: bool
) -> list[CertificateAt]:
    spec = one.spec
    certificate: Certificate[Any, Any] = registry.load("certificate", spec.kind)(spec)
    prepared = certificate.prepare(model, x, label, derive_seed("serving", one.name, seed))
    results: list[CertificateResult] = [certificate.certify(prepared, ball) for ball in one.balls]
    upper = torch.stack([result.upper for result in results])
    certified = torch.stack([result.certified for result in results])
    if spec.radius:
        upper, certified = least_over_larger(upper), certified_at_any_larger(certified)
    grid = spec.perturbation
    return [
        CertificateAt(
            name=one.name,
            kind=spec.kind,
            norm=grid.norm,
            unit=grid.unit,
            epsilon=epsilon,
            clip=one.balls[row].clip,
            inactive_features=int((one.balls[-1].radius == 0).sum()),
            upper=upper[row],
            certified=certified[row],
            confidence=results[row].confidence,
            tau=spec.tau if isinstance(spec, PosteriorShift) else None,
            seed=seed,
            fresh=fresh,
        )
        for row, epsilon in enumerate(grid.epsilons)
    ]
