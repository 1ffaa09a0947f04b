"""One gradient step of full radius (Goodfellow et al., 2015)."""

from __future__ import annotations

from torch import Tensor

from certibayes.attacks.candidate_search import CandidateSearch, Setting
from certibayes.attacks.candidates import Best
from certibayes.attacks.gradients import input_gradient
from certibayes.config import attacks as specs
from certibayes.seeding import generator


class FGSM(CandidateSearch):
    """project(s + steepest(grad objective(s))) for the starts s = x and noise points.

    The step has the length of the radius: its sign in linf (the fast gradient sign method), its
    direction in l2. At x the gradient of a divergence is zero; there the restarts count. Candidates
    are x, the noise points and the ends of the steps. Restart i depends on (seed, i) alone, so more
    restarts or points are never worse.
    """

    def __init__(self, spec: specs.FGSM) -> None:
        super().__init__(spec)
        self.spec = spec

    @property
    def noise_count(self) -> int:
        """Number of noise points among the candidates; the first ones are starts."""
        return max(self.spec.points, self.spec.restarts)

    def explore(self, setting: Setting, best: Best, points: Tensor) -> int:
        """Take one step from every start; see `CandidateSearch.explore`."""
        spec, x, ball = self.spec, setting.x, setting.ball
        for number, start in enumerate((x, *points[: spec.restarts])):
            draws = generator(setting.seed, "gradient", number)
            prepared = setting.objective.prepare(
                best.clean, setting.target, spec.gradient_draws, draws
            )
            direction = ball.steepest(input_gradient(setting.model, prepared, start))
            best.offer(ball.project(x, start + direction))
        return 1
