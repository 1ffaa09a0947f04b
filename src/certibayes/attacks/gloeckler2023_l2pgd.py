"""The l2 attack of Gloeckler et al. (2023), with its published settings."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.attacks.base import Attack, AttackResult, ConditionalModel, Objective, Target
from certibayes.attacks.gradients import input_gradient
from certibayes.config import attacks as specs
from certibayes.estimators.flow import weights_once
from certibayes.seeding import generator
from certibayes.threat import Ball


class Gloeckler2023L2PGD(Attack):
    """200 steps of length epsilon / 10 along the normalized gradient; the last iterate is returned.

    One start, uniform in the ball; 5 fresh draws per step; no best iterate, no noise points, not
    even x: a result may lie below noise. Its value is measured afterwards on the selection draws;
    where the model is not defined there, it is NaN. The main figures of the paper use `reverse_kl`.

    The paper clips x' to the smallest and largest entry of all test observations: state
    `clip: data_range` for that.
    """

    def __init__(self, spec: specs.Gloeckler2023L2PGD) -> None:
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
        """Ascend from one uniform start; see `Attack.attack`.

        Raises:
            ValueError: if an x lies outside the clip range or the ball is not an l2 ball.
        """
        if ball.norm != "l2":
            raise ValueError(f"norm: got {ball.norm!r}; allowed: 'l2'")
        ball.require_inside_clip(x)
        x = x.detach()
        with torch.no_grad(), weights_once(model):
            return self._search(model, x, target, objective, ball, seed)

    def _search(
        self,
        model: ConditionalModel,
        x: Tensor,
        target: Target,
        objective: Objective,
        ball: Ball,
        seed: int,
    ) -> AttackResult:
        spec = self.spec
        clean = model(x)
        iterate = ball.sample(x, generator(seed, "start"))
        for step in range(spec.STEPS):
            draws = generator(seed, "gradient", step)
            prepared = objective.prepare_gradient(clean, target, spec.GRADIENT_DRAWS, draws)
            direction = ball.steepest(input_gradient(model, prepared, iterate))
            iterate = ball.project(x, iterate + spec.STEP_SIZE * direction)
        judged = objective.prepare(
            clean, target, spec.selection_draws, generator(seed, "selection")
        )
        return AttackResult(iterate, judged(model(iterate)), spec.STEPS)
