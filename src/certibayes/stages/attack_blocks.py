"""Attacks on classifiers, block by block: a step holds every weight sample at every observation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from certibayes.attacks.base import Attack, AttackResult, Objective, Target
from certibayes.bnn.predictive import Predictive
from certibayes.bnn.rows_at_once import rows_at_once
from certibayes.seeding import derive_seed
from certibayes.threat import Ball

ENTRIES_AT_ONCE = 2**23
"""Numbers that the widest layer gives in one block; gradients need those of all layers."""


def attack_blocks(
    attack: Attack,
    model: nn.Module,
    x: Tensor,
    target: Target,
    objective: Objective,
    ball: Ball,
    seed: int,
) -> AttackResult:
    """Run an attack on all observations; see `Attack.attack`.

    A classifier's observations are attacked in blocks, the first with the seed itself, so that
    memory does not grow with their number; those of a posterior at once.

    Args:
        attack: to be run.
        model: the attacked model.
        x: observations, shape (batch, x_dim).
        target: what the objective's `aim` returned.
        objective: what is maximized.
        ball: the set of allowed x'.
        seed: fixes every draw.
    """
    if not isinstance(model, Predictive) or not (target is None or isinstance(target, Tensor)):
        return attack.attack(model, x, target, objective, ball, seed)
    size = rows_at_once(model, x, ENTRIES_AT_ONCE)
    found = [
        attack.attack(
            model,
            x[start : start + size],
            None if target is None else target[start : start + size],
            objective,
            ball,
            derive_seed(seed, "block", start) if start else seed,
        )
        for start in range(0, len(x), size)
    ]
    return AttackResult(
        torch.cat([one.x for one in found]),
        torch.cat([one.objective for one in found]),
        found[0].steps,
    )
