"""Certified decisions of a fixed, finite ensemble of weight samples."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from certibayes.bnn.predictive import Predictive
from certibayes.bnn.predictive_bounds import probability_bounds
from certibayes.certificates.base import (
    Certificate,
    CertificateResult,
    UnsoundBoundError,
    verdicts,
)
from certibayes.certificates.inputs import require_float64, require_in_ball
from certibayes.config.certificates import Decision as DecisionSpec
from certibayes.threat import Ball

ROUNDING = 1e-9


@dataclass(frozen=True)
class LabeledObservations:
    """A predictive at observations x, shape (batch, x_dim), with true labels, shape (batch,).

    Attributes:
        margin: largest rival's probability minus the label's at x itself, shape (batch,).
    """

    model: Predictive
    x: Tensor
    target: Tensor
    margin: Tensor


class Decision(Certificate[LabeledObservations, CertificateResult]):
    """The true label y stays the most probable one for every x' in the ball.

    `upper` = max over k != y of upper(p_k) - lower(p_y), p the mean probability of the stored
    weight samples; certified iff it is below zero by more than 1e-9, the allowance for rounding.
    Deterministic (confidence 1.0): it speaks of the stored ensemble, not of the exact posterior
    predictive. An observation that is misclassified without attack is never certified.
    """

    def __init__(self, spec: DecisionSpec) -> None:
        self.spec = spec

    def prepare(
        self, model: nn.Module, x: Tensor, target: Tensor | None, seed: int
    ) -> LabeledObservations:
        """Pair observations with their true labels; nothing is drawn, `seed` is not used.

        Raises:
            ValueError: if the model is no Predictive, model or x are not float64, or labels are
                missing, not int64 or out of range.
        """
        if not isinstance(model, Predictive):
            raise ValueError(f"model: got {type(model).__name__}; allowed: a Predictive")
        require_float64(model, x)
        if target is None or target.dtype != torch.int64 or target.shape != x.shape[:1]:
            got = None if target is None else f"{target.dtype} of shape {tuple(target.shape)}"
            raise ValueError(f"target: got {got}; allowed: torch.int64 of shape ({len(x)},)")
        probability = _probability(model, x)
        classes = probability.shape[-1]
        if bool(((target < 0) | (target >= classes)).any()):
            raise ValueError(f"target: got {target.unique().tolist()}; allowed: 0..{classes - 1}")
        return LabeledObservations(model, x, target, _margin(probability, probability, target))

    def certify(self, prepared: LabeledObservations, ball: Ball) -> CertificateResult:
        """Bound the largest margin of a rival over the ball around every x.

        Raises:
            ValueError: if an x lies outside the clip range: clamping would certify everything.
            UnsoundBoundError: if the bound is below the margin at x itself.
        """
        start = time.perf_counter()
        ball = ball.to(prepared.x)
        ball.require_inside_clip(prepared.x)
        with torch.no_grad():
            bounds = probability_bounds(prepared.model, prepared.x, ball)
        upper = _margin(bounds.upper, bounds.lower, prepared.target)
        upper = torch.where(upper.isnan(), 1.0, upper)
        _require_enclosed(prepared.margin, upper)
        return CertificateResult(
            upper=upper,
            lower=torch.full_like(upper, -torch.inf),
            verdict=verdicts(upper < -ROUNDING, torch.zeros_like(upper).bool()),
            confidence=1.0,
            seconds=time.perf_counter() - start,
        )

    def refute(
        self,
        prepared: LabeledObservations,
        result: CertificateResult,
        attacked: Tensor,
        ball: Ball,
    ) -> CertificateResult:
        """Confront a result with attacked observations; refuted where a rival reaches the label.

        Raises:
            ValueError: if an attacked x is not float64 or lies outside the ball.
            UnsoundBoundError: if the attack's margin exceeds `upper`.
        """
        require_in_ball(ball.to(prepared.x), prepared.x, attacked)
        probability = _probability(prepared.model, attacked)
        reached = _margin(probability, probability, prepared.target)
        _require_enclosed(reached, result.upper)
        return replace(
            result,
            lower=torch.maximum(result.lower, reached),
            verdict=verdicts(result.certified, result.refuted | (reached >= 0)),
        )


def _probability(model: Predictive, x: Tensor) -> Tensor:
    with torch.no_grad():
        return model(x).probs


def _margin(rivals: Tensor, label: Tensor, target: Tensor) -> Tensor:
    """Return max over k != y of rivals_k - label_y; shapes (batch, classes) and (batch,)."""
    index = target.unsqueeze(-1)
    largest = rivals.scatter(-1, index, -torch.inf).amax(-1)
    return largest - label.gather(-1, index).squeeze(-1)


def _require_enclosed(reached: Tensor, upper: Tensor) -> None:
    beaten = ~(reached <= upper + ROUNDING)
    if beaten.any():
        row = int(beaten.nonzero()[0])
        raise UnsoundBoundError(
            f"margin of observation {row}: reaches {float(reached[row])}, its bound is "
            f"{float(upper[row])}"
        )
