"""The inner maximum of adversarial training: projected steps in a ball (Madry et al., 2018)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution

from certibayes.attacks.base import ConditionalModel
from certibayes.defenses.frozen import frozen_statistics
from certibayes.estimators.flow import weights_once
from certibayes.threat import Ball


def inner_maximum(
    model: ConditionalModel,
    x: Tensor,
    value: Callable[[Distribution], Tensor],
    ball: Ball,
    steps: int,
    step_size: float,
    generator: torch.Generator,
) -> Tensor:
    """Return an x' in the ball with a large value(q(. | x')), shape (batch, x_dim), no gradient.

    x' <- project(x' + step_size * steepest(gradient)) from a uniform point of the ball; the last
    iterate is returned, as published. The model's statistics are frozen, gradients reach x' alone;
    entries that are not finite count as 0.

    Args:
        model: q(. | x).
        x: raw observations inside the clip range, shape (batch, x_dim).
        value: maps q(. | x') to what is maximized, shape (batch,); called once per step.
        ball: where x' may lie.
        steps: number of steps.
        step_size: of a step, as a fraction of the radius.
        generator: source of the start.
    """
    x = x.detach()
    ball = ball.to(x)
    attacked = ball.sample(x, generator)
    if not bool((ball.radius > 0).any()):
        return attacked
    with torch.no_grad(), frozen_statistics(model), weights_once(model), torch.enable_grad():
        for _ in range(steps):
            attacked = attacked.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(value(model(attacked)).sum(), attacked)
            gradient = torch.where(gradient.isfinite(), gradient, torch.zeros_like(gradient))
            moved = attacked.detach() + step_size * ball.steepest(gradient)
            attacked = ball.project(x, moved)
    return attacked.detach()
