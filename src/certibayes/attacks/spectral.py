"""The direction in which q(. | x) changes most, to second order."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.attacks.candidate_search import CandidateSearch, Setting
from certibayes.attacks.candidates import Best
from certibayes.attacks.fisher_factors import fisher_factors
from certibayes.config import attacks as specs
from certibayes.l1_ball import vertex
from certibayes.seeding import generator

ROWS = 1 << 14
"""Observations times draws that pass through the model at once."""
SIGN_STEPS = 50


class Spectral(CandidateSearch):
    """x + radius * u and x - radius * u, where u maximises u^T F u over the unit ball of the norm.

    F = R I(x) R is the Fisher information of q(. | x) with respect to x in units of the ball (R the
    diagonal of radii): KL is u^T F u / 2 to second order. l2: u is the leading eigenvector. linf: a
    local maximum over the box by u <- sign(F u) from the signs of the leading eigenvector; F is
    positive semi-definite, so no step is a loss (Journee et al., 2010). l1: the vertex with the
    largest diagonal entry of F, for a convex function is largest at a vertex. The objective
    chooses the sign: candidates are x, the noise points and both ends. No gradient of the objective
    is used.
    """

    def __init__(self, spec: specs.Spectral) -> None:
        super().__init__(spec)
        self.spec = spec

    def explore(self, setting: Setting, best: Best, points: Tensor) -> int:
        """Judge both ends of the leading direction; see `CandidateSearch.explore`.

        Raises:
            TypeError: if q is neither categorical, nor Gaussian, nor a Posterior.
        """
        spec, x, ball = self.spec, setting.x, setting.ball
        radius = ball.radius.to(x)
        source = generator(setting.seed, "scores")
        items = max(1, ROWS // spec.score_draws)
        move = radius * torch.cat(
            [
                leading(
                    radius * fisher_factors(setting.model, part, spec.score_draws, source),
                    ball.norm,
                )
                for part in x.split(items)
            ]
        )
        best.offer(ball.project(x, x + move))
        best.offer(ball.project(x, x - move))
        return 0


def leading(factors: Tensor, norm: str) -> Tensor:
    """Return u in the unit ball of the norm where ||S u||_2 is largest; shape (batch, x_dim).

    l2: the leading right singular vector, from the smaller of S S^T and S^T S. linf: a local
    maximum at a corner of the box, see `Spectral`. l1: the longest column. Zero where S is.

    Args:
        factors: S, shape (batch, rows, x_dim).
        norm: "l1", "l2" or "linf".
    """
    largest = factors.abs().amax((1, 2), keepdim=True)
    factors = factors / torch.where(largest > 0, largest, 1.0)
    if norm == "l1":
        return vertex(torch.linalg.vector_norm(factors, dim=1))
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
