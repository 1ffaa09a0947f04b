"""Projected gradient ascent in the geometry of the ball (Madry et al., 2018)."""

from __future__ import annotations

from torch import Tensor

from certibayes.attacks.ascent import GradientAscent, Step
from certibayes.threat import Ball


class PGD(GradientAscent):
    """x' <- project(x' + size_t * steepest(grad objective(x'))); see `GradientAscent`.

    The steepest step has the length of the radius: the sign of the gradient in linf, its direction
    in l2, both in units of the ball.
    """

    def stepper(self, x: Tensor, ball: Ball) -> Step:
        """Return the step, which remembers nothing; see `GradientAscent.stepper`."""

        def step(iterate: Tensor, gradient: Tensor, size: float) -> Tensor:
            return ball.project(x, iterate + size * ball.steepest(gradient))

        return step
