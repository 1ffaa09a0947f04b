"""Projected ascent with Adam on the perturbation (Kingma and Ba, 2015)."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.attacks.ascent import GradientAscent, Step
from certibayes.threat import Ball

FIRST_DECAY = 0.9
SECOND_DECAY = 0.999
SMALLEST = 1e-8


class PGDAdam(GradientAscent):
    """Adam on u = (x' - x) / radius, projected onto the ball after every step.

    u <- u + size_t * m / (sqrt(v) + 1e-8), m and v the bias-corrected running means (decays 0.9
    and 0.999) of the gradient with respect to u and of its square. The gradient of each item has
    largest entry 1 before it is multiplied by the radius, so a value that overflows at one step
    does not stop later ones. In l1 and l2, v is the squared length of the gradient, one
    number per item: with one per feature, steps would tend to the signs of the gradient, and
    projection would stop at a point that is not the worst. A step is at most about size_t radii
    long. Restarts, step sizes and judged iterates: see `GradientAscent`.
    """

    def stepper(self, x: Tensor, ball: Ball) -> Step:
        """Return the step with moments of its own; see `GradientAscent.stepper`."""
        radius = ball.radius.to(x)
        relative = radius / radius.max()
        first, second = torch.zeros_like(x), torch.zeros_like(x)
        steps = 0

        def step(iterate: Tensor, gradient: Tensor, size: float) -> Tensor:
            nonlocal steps
            steps += 1
            gradient = relative * gradient
            first.mul_(FIRST_DECAY).add_(gradient, alpha=1 - FIRST_DECAY)
            square = gradient.square()
            if ball.norm != "linf":
                square = square.sum(-1, keepdim=True).expand_as(square)
            second.mul_(SECOND_DECAY).add_(square, alpha=1 - SECOND_DECAY)
            mean = first / (1 - FIRST_DECAY**steps)
            root = (second / (1 - SECOND_DECAY**steps)).sqrt()
            return ball.project(x, iterate + size * radius * mean / (root + SMALLEST))

        return step
