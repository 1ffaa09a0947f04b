"""Divergences of the same quantity on common draws: noise <= attacked <= certified."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from certibayes.report.finding import Finding, first_violation
from certibayes.report.items import Items, Method

CERTIFIED_TOLERANCE = 1e-9
"""Relative above 1, absolute below: both sides are float64 means over the same draws."""
SELECTION_TOLERANCE = 1e-6
"""Relative above 1, absolute below: float32 values of the same candidates."""
STANDARD_ERRORS = 4.0
_COMMON = {"common_total_variation": "total variation", "common_forward_kl": "forward KL"}
_REPORTED = {"forward_kl": 1.0, "reverse_kl": 1.0, "nll": 1.0, "correct": -1.0}
_ASCENDING = ("pgd", "pgd_adam")
"""Kinds that gain enough on noise for the gain to last on other draws than the selecting ones."""


def divergence_findings(items: Items) -> Iterator[Finding]:
    """Yield what holds for divergences.

    The bound of a certificate and the value of an attack are compared item by item on the
    certificate's stored draws. An attack whose candidates include the noise points is compared with
    noise item by item on the draws that selected its points; gradient ascent also on the reporting
    draws, in aggregate: mean(attack - noise) >= -4 standard errors.
    """
    for attack in items.of("attack"):
        for certificate in filter(attack.same_ball, items.of("certify")):
            for epsilon in _shared(items, attack, certificate):
                yield from _below_bound(items, attack, certificate, epsilon)
        for noise in items.of("attack"):
            if _dominates(attack, noise):
                for epsilon in _shared(items, attack, noise):
                    yield from _above_noise(items, attack, noise, epsilon)


def _shared(items: Items, one: Method, other: Method) -> list[float]:
    return [epsilon for epsilon in items.epsilons(one) if epsilon in items.epsilons(other)]


def _dominates(attack: Method, noise: Method) -> bool:
    return (
        noise.kind == "noise" != attack.kind
        and attack.points is not None
        and (attack.objective, attack.mask) == (noise.objective, noise.mask)
        and attack.same_ball(noise)
        and attack.selection_draws == noise.selection_draws
        and attack.points >= (noise.points or 0)
    )


def _exceeds(
    one: NDArray[np.generic], other: NDArray[np.generic], tolerance: float
) -> NDArray[np.bool_]:
    """Tell where `one` is above `other`; NaN on either side counts as above."""
    small, large = one.astype(float), other.astype(float)
    return ~(small <= large + tolerance * np.maximum(1.0, np.abs(large)))


def _below_bound(
    items: Items, attack: Method, certificate: Method, epsilon: float
) -> Iterator[Finding]:
    for quantity, label in _COMMON.items():
        reached = items.get(attack, epsilon, quantity)
        bound = items.get(certificate, epsilon, quantity)
        if reached is None or bound is None:
            continue
        what = f"{attack.name} against {certificate.name} on common draws"
        violated = _exceeds(reached, bound, CERTIFIED_TOLERANCE)
        holds, detail = first_violation(violated, what)
        name = f"{label}: attacked <= certified"
        yield Finding(name, holds, detail, certificate, epsilon, attack, epsilon)


def _above_noise(items: Items, attack: Method, noise: Method, epsilon: float) -> Iterator[Finding]:
    low = items.get(noise, epsilon, "selected")
    high = items.get(attack, epsilon, "selected")
    if low is not None and high is not None and len(low) != len(high):
        return
    if low is not None and high is not None:
        violated = _exceeds(low, high, SELECTION_TOLERANCE)
        what = f"{noise.name} against {attack.name} on selection draws"
        holds, detail = first_violation(violated, what)
        name = f"{attack.objective}: noise <= attacked, selection draws"
        yield Finding(name, holds, detail, attack, epsilon, attack, epsilon)
    if attack.kind not in _ASCENDING:
        return
    quantity = (
        "correct" if attack.objective in ("expected_loss", "margin") else str(attack.objective)
    )
    low, high = items.get(noise, epsilon, quantity), items.get(attack, epsilon, quantity)
    if low is not None and high is not None and quantity in _REPORTED:
        gain = _REPORTED[quantity] * _difference(high.astype(float), low.astype(float))
        holds, detail = _not_below(gain, f"{noise.name} against {attack.name}")
        name = f"{quantity}: noise <= attacked, reporting draws in aggregate"
        yield Finding(name, holds, detail, attack, epsilon, attack, epsilon)


def _difference(high: NDArray[np.float64], low: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return high - low, zero where both are the same infinity."""
    return np.where(high == low, 0.0, high - np.where(high == low, 0.0, low))


def _not_below(gain: NDArray[np.float64], what: str) -> tuple[bool, str]:
    """Return whether the mean paired gain is at least -4 standard errors.

    An infinite gain of the attack is a gain; an infinite gain of noise, or NaN, breaks it.
    """
    bad = int((np.isnan(gain) | (gain == -np.inf)).sum())
    finite = gain[np.isfinite(gain)]
    mean = float(finite.mean()) if finite.size else 0.0
    error = float(finite.std(ddof=1) / np.sqrt(finite.size)) if finite.size > 1 else 0.0
    holds = bad == 0 and mean >= -STANDARD_ERRORS * error
    detail = f"{what}: mean gain {mean:.4g}, standard error {error:.2g}"
    return holds, detail + (f", {bad} observations NaN or infinite" if bad else "")
