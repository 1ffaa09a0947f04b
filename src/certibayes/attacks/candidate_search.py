"""What attacks that keep their best candidate share: the checks, x and the noise points."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor

from certibayes.attacks.base import Attack, AttackResult, ConditionalModel, Objective, Target
from certibayes.attacks.candidates import Best, noise_points
from certibayes.config import attacks as specs
from certibayes.threat import Ball


@dataclass(frozen=True)
class Setting:
    """What one call of an attack is given, see `Attack.attack`; x without gradient.

    Attributes:
        model: the attacked model.
        x: observations, shape (batch, x_dim), inside the clip range.
        target: what the objective aims at.
        objective: what is maximised.
        ball: the set of allowed x', of positive radius along some feature.
        seed: fixes every draw.
    """

    model: ConditionalModel
    x: Tensor
    target: Target
    objective: Objective
    ball: Ball
    seed: int


class CandidateSearch(Attack):
    """Judges x, the noise points of the seed and what `explore` offers, and keeps the best."""

    def __init__(self, spec: specs.Search) -> None:
        self.search = spec

    @property
    def noise_count(self) -> int:
        """Number of noise points among the candidates."""
        return self.search.points

    def attack(
        self,
        model: ConditionalModel,
        x: Tensor,
        target: Target,
        objective: Objective,
        ball: Ball,
        seed: int,
    ) -> AttackResult:
        """Judge x and the noise points, then explore; see `Attack.attack`.

        Where the radius is 0 along every feature, x is returned at once.

        Raises:
            ValueError: if an x lies outside the clip range.
        """
        ball.require_inside_clip(x)
        x = x.detach()
        best = Best(model, x, target, objective, self.search.selection_draws, seed)
        if not bool((ball.radius > 0).any()):
            return best.result(steps=0)
        points = noise_points(x, ball, self.noise_count, seed)
        for point in points:
            best.offer(point)
        setting = Setting(model, x, target, objective, ball, seed)
        return best.result(self.explore(setting, best, points))

    @abstractmethod
    def explore(self, setting: Setting, best: Best, points: Tensor) -> int:
        """Offer candidates to `best`; return the gradient steps per observation and restart.

        Args:
            setting: what the attack was called with.
            best: holds x and the noise points already.
            points: the noise points, shape (noise_count, batch, x_dim).
        """
