"""One gradient step of full radius (Goodfellow et al., 2015)."""

from __future__ import annotations

from torch import Tensor

from certibayes.attacks.base import Attack, AttackResult, ConditionalModel, Objective, Target
from certibayes.attacks.candidates import Best, noise_points
from certibayes.attacks.gradients import input_gradient
from certibayes.config import attacks as specs
from certibayes.seeding import generator
from certibayes.threat import Ball


class FGSM(Attack):
    """project(s + steepest(grad objective(s))) for the starts s = x and noise points.

    The step has the length of the radius: its sign in linf (the fast gradient sign method), its
    direction in l2. At x the gradient of a divergence is zero; there the restarts count. Candidates
    are x, the noise points and the ends of the steps. Restart i depends on (seed, i) alone, so more
    restarts or points are never worse.
    """

    def __init__(self, spec: specs.FGSM) -> None:
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
        """Take one step from every start; see `Attack.attack`.

        Raises:
            ValueError: if an x lies outside the clip range.
        """
        spec = self.spec
        ball.require_inside_clip(x)
        x = x.detach()
        best = Best(model, x, target, objective, spec.selection_draws, seed)
        if not bool((ball.radius > 0).any()):
            return best.result(steps=0)
        points = noise_points(x, ball, max(spec.points, spec.restarts), seed)
        for point in points:
            best.offer(point)
        for number, start in enumerate((x, *points[: spec.restarts])):
            draws = generator(seed, "gradient", number)
            prepared = objective.prepare(best.clean, target, spec.gradient_draws, draws)
            direction = ball.steepest(input_gradient(model, prepared, start))
            best.offer(ball.project(x, start + direction))
        return best.result(steps=1)
