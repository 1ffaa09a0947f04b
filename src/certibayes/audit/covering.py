"""Coverage of the true thetas, clean and attacked."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.audit.cut import CutDraws
from certibayes.audit.subject import Subject
from certibayes.metrics.coverage import Coverage, coverage_curve, credibility
from certibayes.metrics.intervals.clopper_pearson import (
    clopper_pearson_lower,
    clopper_pearson_upper,
)

LEVELS = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
STATED = (0.5, 0.9)
INTERVAL_ALPHA = 0.05


@dataclass(frozen=True)
class CoverageAt:
    """Coverage of highest-density regions at one set of observations.

    Attributes:
        curve: over `LEVELS`.
        stated: level -> share of true thetas inside, with a 95 % Clopper-Pearson interval.
    """

    curve: Coverage
    stated: dict[float, tuple[float, float, float]]


@torch.no_grad()
def coverage_at(subject: Subject, theta: Tensor, x: Tensor, draws: CutDraws) -> CoverageAt:
    """Rank every true theta among the draws inside the support, by density.

    Where no draw lies inside, the region is taken to miss theta.

    Args:
        subject: what is audited.
        theta: true thetas, shape (batch, theta_dim).
        x: where the posteriors are taken, shape (batch, x_dim).
        draws: at these x.
    """
    log_true = subject.model(x).log_prob(theta)
    if subject.inside is not None:
        log_true = torch.where(subject.inside(theta), log_true, -torch.inf)
    ranks = torch.cat(
        [
            credibility(log_true[row : row + 1], draws.log_prob[:, row][inside].unsqueeze(1))
            if inside.any()
            else torch.ones(1, dtype=torch.float64)
            for row, inside in enumerate(draws.inside.unbind(1))
        ]
    )
    stated = {level: _share(ranks, level) for level in STATED}
    return CoverageAt(coverage_curve(ranks, LEVELS), stated)


def _share(ranks: Tensor, level: float) -> tuple[float, float, float]:
    covered, n = int((ranks <= level).sum()), len(ranks)
    return (
        covered / n,
        clopper_pearson_lower(covered, n, INTERVAL_ALPHA / 2),
        clopper_pearson_upper(covered, n, INTERVAL_ALPHA / 2),
    )
