"""One trajectory of Hamiltonian Monte Carlo by leapfrog steps (Neal, 2011)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.bnn.potential import Potential
from certibayes.bnn.prior import standard_normal

DIVERGENCE = 1000.0
"""Range of the energies along a trajectory from which on it counts as divergent."""


@dataclass(frozen=True)
class Move:
    """Where a chain is after a trajectory.

    Attributes:
        weights: the proposal if it was accepted, else the start.
        potential: U there.
        acceptance: probability with which the proposal was accepted.
        diverged: whether energies ranged over `DIVERGENCE` or more, or were not finite.
    """

    weights: list[Tensor]
    potential: float
    acceptance: float
    diverged: bool


@torch.no_grad()
def trajectory(
    potential: Potential,
    start: Sequence[Tensor],
    size: float,
    steps: int,
    generator: torch.Generator,
) -> Move:
    """Return the move of a Metropolis step whose proposal is a leapfrog trajectory.

    With s the prior's std per weight and r ~ N(0, 1) the momenta: r <- r - size s grad U / 2,
    w <- w + size s r, r <- r - size s grad U / 2. A divergent trajectory
    ends early and is rejected; backwards it passes the same energies, so the move is reversible.

    Args:
        potential: U with its gradient.
        start: one weight vector.
        size: step size in units of s.
        steps: number of leapfrog steps.
        generator: source of momenta and of the decision.
    """
    scales = [potential.prior.std_of(w) * size for w in start]
    momenta = [standard_normal(w, generator) for w in start]
    threshold = torch.rand((), generator=generator, dtype=torch.float64).item()
    with torch.enable_grad():
        first, gradients = potential(start)
    energy = first + _kinetic(momenta)
    weights, last = list(start), first
    highest = lowest = latest = energy
    for _ in range(steps):
        momenta = _kicked(momenta, gradients, scales)
        state = zip(weights, momenta, scales, strict=True)
        weights = [w + scale * r for w, r, scale in state]
        with torch.enable_grad():
            last, gradients = potential(weights)
        momenta = _kicked(momenta, gradients, scales)
        latest = last + _kinetic(momenta)
        highest, lowest = max(highest, latest), min(lowest, latest)
        if not (math.isfinite(latest) and highest - lowest < DIVERGENCE):
            return Move(list(start), first, 0.0, diverged=True)
    acceptance = math.exp(min(0.0, energy - latest))
    if threshold < acceptance:
        return Move(weights, last, acceptance, diverged=False)
    return Move(list(start), first, acceptance, diverged=False)


def _kicked(momenta: list[Tensor], gradients: list[Tensor], scales: list[float]) -> list[Tensor]:
    state = zip(momenta, gradients, scales, strict=True)
    return [r - scale / 2 * g for r, g, scale in state]


def _kinetic(momenta: list[Tensor]) -> float:
    return sum(r.double().square().sum().item() for r in momenta) / 2
