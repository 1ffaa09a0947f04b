"""Attacks on a posterior under audit, over all epsilons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from certibayes import registry
from certibayes.attacks.base import Attack
from certibayes.attacks.forward_kl import ForwardKL
from certibayes.audit.cut import CutDraws, Moved, cut_draws, moved
from certibayes.audit.refuting import surely_moved
from certibayes.audit.settings import AuditSettings
from certibayes.audit.subject import Subject
from certibayes.threat import Ball


@dataclass(frozen=True)
class AttackAt:
    """What one attack reached at one epsilon.

    Attributes:
        attack: its name.
        epsilon: radius.
        x: attacked observations, shape (batch, x_dim).
        draws: at the attacked observations.
        moved: how far the posterior moved, on draws that the attack has not seen.
        surely: lower confidence bound of its total variation, shape (batch,).
    """

    attack: str
    epsilon: float
    x: Tensor
    draws: CutDraws
    moved: Moved
    surely: Tensor


def attacked(
    subject: Subject, x: Tensor, clean: CutDraws, balls: list[Ball], settings: AuditSettings
) -> Iterator[AttackAt]:
    """Yield every attack at every epsilon.

    Attacks maximize the forward KL of q before the cut; what they reach is measured after it.

    Args:
        subject: what is audited.
        x: observations, shape (batch, x_dim), float64.
        clean: draws at x that no attack uses.
        balls: one per epsilon.
        settings: effort of the attacks, and confidence of what they surely do.
    """
    for name, spec in settings.attacks(subject.gradients).items():
        attack: Attack = registry.load("attack", spec.kind)(spec)
        for epsilon, ball in zip(settings.perturbation.epsilons, balls, strict=True):
            seed = settings.seed_of("attack")
            found = attack.attack(subject.model, x, None, ForwardKL(), ball, seed).x
            draws = cut_draws(
                subject, found, settings.report_draws, settings.seed_of("attacked draws")
            )
            reached = moved(subject, clean, found, draws.mass)
            surely = surely_moved(subject, x, clean, found, draws, settings.confidence)
            yield AttackAt(name, epsilon, found, draws, reached, surely)
