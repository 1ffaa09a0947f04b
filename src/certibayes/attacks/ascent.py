"""What iterated gradient attacks share: restarts, fresh draws, step sizes, judged iterates."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable

from torch import Tensor

from certibayes.attacks.candidate_search import CandidateSearch, Setting
from certibayes.attacks.candidates import Best
from certibayes.attacks.gradients import input_gradient
from certibayes.attacks.softened import softened
from certibayes.config import attacks as specs
from certibayes.seeding import generator
from certibayes.threat import Ball

Step = Callable[[Tensor, Tensor, float], Tensor]
"""Maps an iterate, the gradient there (both (batch, x_dim)) and a step size to the next iterate."""


class GradientAscent(CandidateSearch):
    """x' <- step(x', grad objective(x'), size_t), the best iterate per item kept.

    Restart i starts from noise point i, never from x, where the gradient of a divergence is zero.
    size_t decays from `step_size` to `final_step` (fractions of the radius) by a cosine. Every
    step has `gradient_draws` fresh draws; candidates are judged on `selection_draws` fixed ones.
    Candidates are x, the noise points and the iterates, so with at least as many points, as many
    selection draws and the same seed, it is never below `noise`. Restart i depends on (seed, i)
    alone, so more restarts or points are never worse. Every second restart takes the gradients of
    an ensemble of weight samples `softened`; all candidates are judged on the model as it is.
    """

    def __init__(self, spec: specs.GradientAscent) -> None:
        super().__init__(spec)
        self.spec = spec

    @abstractmethod
    def stepper(self, x: Tensor, ball: Ball) -> Step:
        """Return the step of one restart; it may remember earlier gradients.

        Args:
            x: clean observations, shape (batch, x_dim).
            ball: the set that every iterate stays in.
        """

    @property
    def noise_count(self) -> int:
        """Number of noise points among the candidates; the first ones are starts."""
        return max(self.spec.points, self.spec.restarts)

    def explore(self, setting: Setting, best: Best, points: Tensor) -> int:
        """Ascend from every restart; gradients reach x' alone. See `CandidateSearch.explore`."""
        spec, objective = self.spec, setting.objective
        for restart in range(spec.restarts):
            iterate = points[restart]
            model = softened(setting.model, setting.x) if restart % 2 else setting.model
            step_from = self.stepper(setting.x, setting.ball)
            for step in range(spec.steps):
                draws = generator(setting.seed, "gradient", restart, step)
                prepared = objective.prepare(best.clean, setting.target, spec.gradient_draws, draws)
                gradient = input_gradient(model, prepared, iterate)
                iterate = step_from(iterate, gradient, self._step_size(step))
                if self._judges(step):
                    best.offer(iterate)
        return spec.steps

    def _step_size(self, step: int) -> float:
        """Return the size of one step, as a fraction of the radius."""
        progress = step / max(self.spec.steps - 1, 1)
        share = 0.5 * (1 + math.cos(math.pi * progress))
        return self.spec.final_step + (self.spec.step_size - self.spec.final_step) * share

    def _judges(self, step: int) -> bool:
        every = self.spec.selection_every
        return step + 1 == self.spec.steps or (every > 0 and (step + 1) % every == 0)
