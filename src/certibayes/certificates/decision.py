"""Certified decisions of a fixed, finite ensemble of weight samples."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from certibayes.bnn.margin_bounds import BoundsName, margin_bounds
from certibayes.bnn.predictive import Predictive
from certibayes.bnn.rows_at_once import rows_at_once
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
PLANES_AT_ONCE = 64
"""Observations in a block of linear bounds, at most."""


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

    `upper` bounds max over k != y of p_k - p_y, p the mean probability of the stored weight
    samples; certified iff it is below zero by more than 1e-9, the allowance for rounding. Linear
    bounds, with one x' for all samples, are taken where intervals do not certify x already and x
    itself is right: elsewhere they change no verdict. Deterministic (confidence 1.0): it speaks of
    the stored ensemble, not of the exact posterior predictive. An observation that is
    misclassified without attack is never certified.
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
        return labeled(model, x, target)

    def certify(self, prepared: LabeledObservations, ball: Ball) -> CertificateResult:
        """Bound the largest margin of a rival over the ball around every x.

        Raises:
            ValueError: if an x lies outside the clip range: clamping would certify everything.
            UnsoundBoundError: if the bound is below the margin at x itself.
        """
        start = time.perf_counter()
        ball = ball.to(prepared.x)
        ball.require_inside_clip(prepared.x)
        upper = self._bound(prepared, slice(None), ball, "interval")
        if self.spec.bounds != "interval":
            undecided = ((upper >= -ROUNDING) & (prepared.margin < 0)).nonzero().squeeze(-1)
            for rows in undecided.split(planes_at_once(prepared.model, prepared.x)):
                linear = self._bound(prepared, rows, ball, self.spec.bounds)
                upper[rows] = torch.minimum(upper[rows], linear)
        require_enclosed(prepared.margin, upper)
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
        reached = margins_reached(prepared, attacked)
        require_enclosed(reached, result.upper)
        return replace(
            result,
            lower=torch.maximum(result.lower, reached),
            verdict=verdicts(result.certified, result.refuted | (reached >= 0)),
        )

    def _bound(
        self, prepared: LabeledObservations, rows: slice | Tensor, ball: Ball, bounds: BoundsName
    ) -> Tensor:
        """Return bounds of the largest margin of some rows, 1 where there is none."""
        found = []
        x, target = prepared.x[rows], prepared.target[rows]
        size = rows_at_once(prepared.model, prepared.x)
        for one, y in zip(x.split(size), target.split(size), strict=True):
            with torch.no_grad():
                found.append(margin_bounds(prepared.model, y, one, ball, bounds).mean_upper)
        upper = largest_rival(torch.cat(found), target)
        return torch.where(upper.isnan(), 1.0, upper)


def planes_at_once(model: Predictive, x: Tensor) -> int:
    """Return for how many rows linear bounds are taken at once; see `rows_at_once`."""
    return min(PLANES_AT_ONCE, rows_at_once(model, x))


def labeled(model: nn.Module, x: Tensor, target: Tensor | None) -> LabeledObservations:
    """Pair observations with their labels; see `Decision.prepare`."""
    if not isinstance(model, Predictive):
        raise ValueError(f"model: got {type(model).__name__}; allowed: a Predictive")
    require_float64(model, x)
    if target is None or target.dtype != torch.int64 or target.shape != x.shape[:1]:
        got = None if target is None else f"{target.dtype} of shape {tuple(target.shape)}"
        raise ValueError(f"target: got {got}; allowed: torch.int64 of shape ({len(x)},)")
    classes = model(x[:1]).logits.shape[-1]
    if bool(((target < 0) | (target >= classes)).any()):
        raise ValueError(f"target: got {target.unique().tolist()}; allowed: 0..{classes - 1}")
    return LabeledObservations(model, x, target, margins_at(model, x, target))


def margins_at(model: Predictive, x: Tensor, target: Tensor) -> Tensor:
    """Return max over k != y of p_k - p_y at x itself, shape (batch,), in blocks of rows."""
    found = []
    size = rows_at_once(model, x)
    with torch.no_grad():
        for one, y in zip(x.split(size), target.split(size), strict=True):
            probability = model(one).probs
            found.append(largest_rival(probability - probability.gather(1, y.unsqueeze(1)), y))
    return torch.cat(found)


def margins_reached(prepared: LabeledObservations, attacked: Tensor) -> Tensor:
    """Return the margins at attacked x, shape (batch,); those of unmoved rows are known."""
    moved = (attacked != prepared.x).any(-1)
    if not bool(moved.any()):
        return prepared.margin
    found = margins_at(prepared.model, attacked[moved], prepared.target[moved])
    return prepared.margin.masked_scatter(moved, found)


def largest_rival(margins: Tensor, target: Tensor) -> Tensor:
    """Return the largest of margins, shape (batch, classes), of all classes but the label."""
    return margins.scatter(-1, target.unsqueeze(-1), -torch.inf).amax(-1)


def require_enclosed(reached: Tensor, upper: Tensor) -> None:
    """Check that a margin that is reached does not exceed its bound, both of shape (batch,).

    Raises:
        UnsoundBoundError: if it does.
    """
    beaten = ~(reached <= upper + ROUNDING)
    if beaten.any():
        row = int(beaten.nonzero()[0])
        raise UnsoundBoundError(
            f"margin of observation {row}: reaches {float(reached[row])}, its bound is "
            f"{float(upper[row])}"
        )
