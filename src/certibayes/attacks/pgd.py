"""Projected gradient ascent in the geometry of the ball (Madry et al., 2018)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from certibayes.attacks.base import (
    Attack,
    AttackResult,
    ConditionalModel,
    Objective,
    PreparedObjective,
)
from certibayes.attacks.candidates import Best, noise_points
from certibayes.config import attacks as specs
from certibayes.seeding import generator
from certibayes.threat import Ball


class PGD(Attack):
    """x' <- project(x' + size_t * steepest(grad objective(x'))), the best iterate per item kept.

    Restart i starts from noise point i, never from x, where the gradient of a divergence is zero.
    size_t decays from `step_size` to `final_step` (fractions of the radius) by a cosine. Every
    step has `gradient_draws` fresh draws; candidates are judged on `selection_draws` fixed ones.
    Candidates are x, the noise points and the iterates, so with at least as many points, as many
    selection draws and the same seed, PGD is never below `noise`. Restart i depends on (seed, i)
    alone, so more restarts or points are never worse.
    """

    def __init__(self, spec: specs.PGD) -> None:
        self.spec = spec

    def attack(
        self,
        model: ConditionalModel,
        x: Tensor,
        target: Tensor | None,
        objective: Objective,
        ball: Ball,
        seed: int,
    ) -> AttackResult:
        """Ascend from every restart; see `Attack.attack`. Gradients reach x' alone, no weight.

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
        for restart in range(spec.restarts):
            iterate = points[restart]
            for step in range(spec.steps):
                draws = generator(seed, "gradient", restart, step)
                prepared = objective.prepare(best.clean, target, spec.gradient_draws, draws)
                direction = ball.steepest(_gradient(model, prepared, iterate))
                iterate = ball.project(x, iterate + self._step_size(step) * direction)
                if self._judges(step):
                    best.offer(iterate)
        return best.result(spec.steps)

    def _step_size(self, step: int) -> float:
        """Return the size of one step, as a fraction of the radius."""
        progress = step / max(self.spec.steps - 1, 1)
        share = 0.5 * (1 + math.cos(math.pi * progress))
        return self.spec.final_step + (self.spec.step_size - self.spec.final_step) * share

    def _judges(self, step: int) -> bool:
        every = self.spec.selection_every
        return step + 1 == self.spec.steps or (every > 0 and (step + 1) % every == 0)


def _gradient(model: ConditionalModel, prepared: PreparedObjective, x: Tensor) -> Tensor:
    """Return the gradient of each item's value, largest entry 1 in size; shape (batch, x_dim).

    Entries that are not finite (the value overflowed at this x') count as 0: that item stays.
    """
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        value = prepared(model(x)).sum()
        (gradient,) = torch.autograd.grad(value, x)
    gradient = torch.where(gradient.isfinite(), gradient, torch.zeros_like(gradient))
    largest = gradient.abs().amax(-1, keepdim=True)
    return gradient / largest.clamp(min=torch.finfo(gradient.dtype).tiny)
