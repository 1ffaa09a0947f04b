"""Iterated random search with contraction: no gradient is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from certibayes.attacks.candidate_search import CandidateSearch, Setting
from certibayes.attacks.candidates import Best
from certibayes.config import attacks as specs
from certibayes.seeding import generator
from certibayes.threat import Ball

INSIDE_EVERY = 5
"""In linf balls one proposal out of so many is drawn inside, the others go to corners."""


class RandomSearch(CandidateSearch):
    """Proposals around the best point c so far, drawn ever closer to it.

    Inside: project(c + s * (z - x)), z uniform in the ball. Corner, in linf balls alone: every
    feature of c goes with probability s, one of them for certain, to x + radius or x - radius at
    random; where features are many a uniform z stays far from the corners, and the worst case is
    near one. Each item has a spread s of either kind: 1 at first, divided by `contraction` after a
    step in which no proposal of the kind was better. Candidates are x, the noise points and the
    proposals, all judged on the selection draws. Step t depends on (seed, t) and what was found
    before, so more steps are never worse. It finds what an attack misses whose gradients are
    masked.
    """

    def __init__(self, spec: specs.RandomSearch) -> None:
        super().__init__(spec)
        self.spec = spec

    def explore(self, setting: Setting, best: Best, points: Tensor) -> int:
        """Search around the best point of each item; see `CandidateSearch.explore`."""
        spec, x, ball = self.spec, setting.x, setting.ball
        kinds = [_Kind(_inside, x.new_ones(len(x), 1))]
        if ball.norm == "linf":
            kinds.append(_Kind(_corner, x.new_ones(len(x), 1)))
        for step in range(spec.steps):
            center = best.x
            for proposal in range(spec.proposals):
                number = step * spec.proposals + proposal
                kind = kinds[0] if number % INSIDE_EVERY == 0 else kinds[-1]
                before = best.value
                draws = generator(setting.seed, "proposal", step, proposal)
                best.offer(ball.project(x, kind.propose(x, ball, center, kind.spread, draws)))
                kind.better.append(best.value > before)
            for kind in kinds:
                kind.contract(spec.contraction)
        return 0


@dataclass
class _Kind:
    """One kind of proposal.

    Attributes:
        propose: maps x, the ball, centers, spreads and a source of draws to one point per item.
        spread: of each item, shape (batch, 1), in (0, 1].
        better: which items each proposal of this step improved, shape (batch,) each.
    """

    propose: Callable[[Tensor, Ball, Tensor, Tensor, torch.Generator], Tensor]
    spread: Tensor
    better: list[Tensor] = field(default_factory=list)

    def contract(self, factor: float) -> None:
        """Divide the spread where this step's proposals, if any, were all no better."""
        if self.better:
            better = torch.stack(self.better).any(0).unsqueeze(-1)
            self.spread = torch.where(better, self.spread, self.spread / factor)
            self.better.clear()


def _inside(
    x: Tensor, ball: Ball, center: Tensor, spread: Tensor, draws: torch.Generator
) -> Tensor:
    """Step in a uniform direction, by a uniform share of the ball times the spread."""
    free = Ball(ball.norm, ball.radius)
    return center + spread * (free.sample(x, draws) - x)


def _corner(
    x: Tensor, ball: Ball, center: Tensor, spread: Tensor, draws: torch.Generator
) -> Tensor:
    """Take some features to an end of their range."""
    radius = ball.radius.to(x)
    up, chosen = (torch.rand(x.shape, generator=draws).to(x) for _ in range(2))
    chosen = torch.where(radius > 0, chosen, 2.0)
    moved = (chosen < spread) | (chosen == chosen.amin(-1, keepdim=True))
    return torch.where(moved, x + torch.where(up < 0.5, -radius, radius), center)
