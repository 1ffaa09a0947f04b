"""Candidates of an attack: noise points shared by all attacks, and the best one kept per item."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.attacks.base import AttackResult, ConditionalModel, Objective, Target
from certibayes.seeding import generator
from certibayes.threat import Ball


def noise_points(x: Tensor, ball: Ball, points: int, seed: int) -> Tensor:
    """Draw points uniformly in the ball around each x; shape (points, batch, x_dim).

    Point i depends on (x, ball, seed, i) alone, so fewer points are a prefix of more points.
    """
    return torch.stack([ball.sample(x, generator(seed, "noise", i)) for i in range(points)])


class Best:
    """The best candidate of each item on selection draws that are fixed by the seed.

    x itself is the first candidate. Attacks with the same seed, model, x, objective and number of
    draws judge on identical draws, so values compare item by item. A NaN value never wins.

    Attributes:
        clean: q(. | x), without gradient.
        x: best candidate so far, shape (batch, x_dim).
        value: its value, shape (batch,); -inf as long as every value was NaN.
    """

    def __init__(
        self,
        model: ConditionalModel,
        x: Tensor,
        target: Target,
        objective: Objective,
        draws: int,
        seed: int,
    ) -> None:
        self._model = model
        with torch.no_grad():
            self.clean = model(x)
            self._objective = objective.prepare(
                self.clean, target, draws, generator(seed, "selection")
            )
        self.x = x.clone()
        self.value = x.new_full((len(x),), -torch.inf)
        self.offer(x)

    def offer(self, candidate: Tensor) -> None:
        """Judge one candidate per item, shape (batch, x_dim), and keep those that are better."""
        with torch.no_grad():
            value = self._objective(self._model(candidate))
        better = value > self.value
        self.value = torch.where(better, value, self.value)
        self.x = torch.where(better.unsqueeze(-1), candidate, self.x)

    def result(self, steps: int) -> AttackResult:
        """Return what is kept, found with so many gradient steps per item and restart."""
        return AttackResult(self.x, self.value, steps)
