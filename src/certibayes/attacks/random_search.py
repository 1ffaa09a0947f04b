"""Iterated random search with contraction: no gradient is used."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.attacks.base import Attack, AttackResult, ConditionalModel, Objective, Target
from certibayes.attacks.candidates import Best, noise_points
from certibayes.config import attacks as specs
from certibayes.seeding import generator
from certibayes.threat import Ball


class RandomSearch(Attack):
    """Proposals project(c + s * (z - x)), z uniform in the ball, around the best point c so far.

    c and the spread s are those of each item: s starts at 1 and is divided by `contraction` after a
    step of which no proposal was better. Candidates are x, the noise points and the proposals, all
    judged on the selection draws. Step t depends on (seed, t) and what was found before, so more
    steps are never worse. It finds what an attack misses whose gradients are masked.
    """

    def __init__(self, spec: specs.RandomSearch) -> None:
        self.spec = spec

    def attack(
        self,
        model: ConditionalModel,
        x: Tensor,
        target: Target,
        objective: Objective,
        ball: Ball,
        seed: int,
    ) -> AttackResult:
        """Search around the best point of each item; see `Attack.attack`.

        Raises:
            ValueError: if an x lies outside the clip range.
        """
        spec = self.spec
        ball.require_inside_clip(x)
        x = x.detach()
        best = Best(model, x, target, objective, spec.selection_draws, seed)
        if not bool((ball.radius > 0).any()):
            return best.result(steps=0)
        for point in noise_points(x, ball, spec.points, seed):
            best.offer(point)
        free = Ball(ball.norm, ball.radius)
        spread = x.new_ones(len(x), 1)
        for step in range(spec.steps):
            center, before = best.x, best.value
            for proposal in range(spec.proposals):
                move = free.sample(x, generator(seed, "proposal", step, proposal)) - x
                best.offer(ball.project(x, center + spread * move))
            worse = (best.value <= before).unsqueeze(-1)
            spread = torch.where(worse, spread / spec.contraction, spread)
        return best.result(steps=0)
