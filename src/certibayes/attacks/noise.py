"""Random search: the worst of some uniform points of the ball."""

from __future__ import annotations

from torch import Tensor

from certibayes.attacks.base import Attack, AttackResult, ConditionalModel, Objective, Target
from certibayes.attacks.candidates import Best, noise_points
from certibayes.config import attacks as specs
from certibayes.threat import Ball


class Noise(Attack):
    """The worst of x and `points` uniform points of the ball, on `selection_draws` draws.

    A baseline: what a perturbation of the same size does without an adversary.
    """

    def __init__(self, spec: specs.Noise) -> None:
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
        """Judge the noise points of the seed; see `Attack.attack`.

        Raises:
            ValueError: if an x lies outside the clip range.
        """
        ball.require_inside_clip(x)
        x = x.detach()
        best = Best(model, x, target, objective, self.spec.selection_draws, seed)
        for point in noise_points(x, ball, self.spec.points, seed):
            best.offer(point)
        return best.result(steps=0)
