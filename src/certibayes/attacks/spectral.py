"""The direction in which q(. | x) changes most, to second order."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.attacks.base import Attack, AttackResult, ConditionalModel, Objective, Target
from certibayes.attacks.candidates import Best, noise_points
from certibayes.attacks.fisher_factors import fisher_factors
from certibayes.config import attacks as specs
from certibayes.seeding import generator
from certibayes.threat import Ball

ROWS = 1 << 14
"""Observations times draws that pass through the model at once."""
SIGN_STEPS = 50


class Spectral(Attack):
    """x + radius * u and x - radius * u, where u maximises u^T F u over the unit ball of the norm.

    F = R I(x) R is the Fisher information of q(. | x) with respect to x in units of the ball (R the
    diagonal of radii): KL is u^T F u / 2 to second order. l2: u is the leading eigenvector. linf: a
    local maximum over the box by u <- sign(F u) from the signs of the leading eigenvector; F is
    positive semi-definite, so no step is a loss (Journee et al., 2010). The objective chooses the
    sign: candidates are x, the noise points and both ends. No gradient of the objective is used.
    """

    def __init__(self, spec: specs.Spectral) -> None:
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
        """Judge both ends of the leading direction; see `Attack.attack`.

        Raises:
            ValueError: if an x lies outside the clip range.
            TypeError: if q is neither categorical, nor Gaussian, nor a Posterior.
        """
        spec = self.spec
        ball.require_inside_clip(x)
        x = x.detach()
        best = Best(model, x, target, objective, spec.selection_draws, seed)
        if not bool((ball.radius > 0).any()):
            return best.result(steps=0)
        for point in noise_points(x, ball, spec.points, seed):
            best.offer(point)
        radius = ball.radius.to(x)
        source = generator(seed, "scores")
        items = max(1, ROWS // spec.score_draws)
        move = radius * torch.cat(
            [
                leading(radius * fisher_factors(model, part, spec.score_draws, source), ball.norm)
                for part in x.split(items)
            ]
        )
        best.offer(ball.project(x, x + move))
        best.offer(ball.project(x, x - move))
        return best.result(steps=0)


def leading(factors: Tensor, norm: str) -> Tensor:
    """Return u in the unit ball of the norm where ||S u||_2 is largest; shape (batch, x_dim).

    l2: the leading right singular vector, from the smaller of S S^T and S^T S. linf: a local
    maximum at a corner of the box, see `Spectral`. Zero where S is.

    Args:
        factors: S, shape (batch, rows, x_dim).
        norm: "l2" or "linf".
    """
    largest = factors.abs().amax((1, 2), keepdim=True)
    factors = factors / torch.where(largest > 0, largest, 1.0)
    if factors.shape[1] < factors.shape[2]:
        left = torch.linalg.eigh(factors @ factors.mT).eigenvectors[..., -1:]
        vector = (factors.mT @ left).squeeze(-1)
    else:
        vector = torch.linalg.eigh(factors.mT @ factors).eigenvectors[..., -1]
        vector = torch.where(largest.squeeze(-1) > 0, vector, 0.0)
    vector = vector / torch.linalg.vector_norm(vector, dim=-1, keepdim=True).clamp(min=1e-30)
    if norm == "l2":
        return vector
    felt = (factors != 0).any(1)
    corner = torch.where(vector == 0, felt.to(vector), vector.sign())
    for _ in range(SIGN_STEPS):
        image = (factors.mT @ (factors @ corner.unsqueeze(-1))).squeeze(-1)
        following = torch.where(image == 0, corner, image.sign())
        if torch.equal(following, corner):
            break
        corner = following
    return corner
