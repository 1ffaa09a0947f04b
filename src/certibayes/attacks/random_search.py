"""Iterated random search with contraction: no gradient is used."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.attacks.candidate_search import CandidateSearch, Setting
from certibayes.attacks.candidates import Best
from certibayes.config import attacks as specs
from certibayes.seeding import generator
from certibayes.threat import Ball


class RandomSearch(CandidateSearch):
    """Proposals project(c + s * (z - x)), z uniform in the ball, around the best point c so far.

    c and the spread s are those of each item: s starts at 1 and is divided by `contraction` after a
    step of which no proposal was better. Candidates are x, the noise points and the proposals, all
    judged on the selection draws. Step t depends on (seed, t) and what was found before, so more
    steps are never worse. It finds what an attack misses whose gradients are masked.
    """

    def __init__(self, spec: specs.RandomSearch) -> None:
        super().__init__(spec)
        self.spec = spec

    def explore(self, setting: Setting, best: Best, points: Tensor) -> int:
        """Search around the best point of each item; see `CandidateSearch.explore`."""
        spec, x, ball = self.spec, setting.x, setting.ball
        free = Ball(ball.norm, ball.radius)
        spread = x.new_ones(len(x), 1)
        for step in range(spec.steps):
            center, before = best.x, best.value
            for proposal in range(spec.proposals):
                move = free.sample(x, generator(setting.seed, "proposal", step, proposal)) - x
                best.offer(ball.project(x, center + spread * move))
            worse = (best.value <= before).unsqueeze(-1)
            spread = torch.where(worse, spread / spec.contraction, spread)
        return 0
