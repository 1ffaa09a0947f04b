"""Two moons in the convention of sbibm, Lueckmann et al. (2021)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Normal

from certibayes.tasks.box_prior import BoxPriorTask

OFFSET = 0.25
RADIUS = (0.1, 0.01)


class TwoMoons(BoxPriorTask):
    """A crescent of x around a point that theta and its mirror image share: two posterior modes.

    theta ~ U(-1, 1)^2; a ~ U(-pi/2, pi/2), r ~ N(0.1, 0.01^2), p = (r cos a + 0.25, r sin a) and
    x = p + (-|theta_1 + theta_2|, theta_2 - theta_1) / sqrt(2).
    Source: Greenberg et al. (2019), with the constants of sbibm, Lueckmann et al. (2021).
    """

    theta_dim = x_dim = 2
    half_width = 1.0

    def simulate(self, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Simulate x, shape (n, 2), float64.

        Args:
            theta: parameters, shape (n, 2).
            generator: the only source of randomness.
        """
        uniform = torch.rand(len(theta), generator=generator, dtype=torch.float64)
        noise = torch.randn(len(theta), generator=generator, dtype=torch.float64)
        angle = math.pi * (uniform - 0.5)
        radius = RADIUS[0] + RADIUS[1] * noise
        crescent = torch.stack((radius * angle.cos(), radius * angle.sin()), 1)
        return center(theta) + crescent

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), shape (n,), of theta and x with shape (n, 2) or (1, 2).

        With (u, v) = x - center(theta) and r = |(u, v)|, the density is N(r; 0.1, 0.01^2) / (pi r)
        for u >= 0 and 0 (log: -inf) elsewhere; 1 / r is the Jacobian of polar coordinates. The
        potential function of sbibm leaves pi r out, its simulator and reference samples do not.
        A negative radius, of probability 1e-23, is neglected.
        """
        offset = x.double() - center(theta)
        radius = offset.norm(dim=1)
        log_normal = Normal(*RADIUS, validate_args=False).log_prob(radius)
        log_density = log_normal - (math.pi * radius).log()
        return torch.where(offset[:, 0] < 0, -torch.inf, log_density)


def center(theta: Tensor) -> Tensor:
    """Return the center of the crescent's circle, shape (n, 2), of theta, shape (n, 2)."""
    first, second = theta.double().unbind(1)
    shift = torch.stack((-(first + second).abs(), second - first), 1) / math.sqrt(2)
    return shift + torch.tensor([OFFSET, 0.0], dtype=torch.float64)
