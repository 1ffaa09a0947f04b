"""Calibration of posteriors, clean or attacked: expected coverage, SBC and TARP."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.metrics.coverage import expected_coverage
from certibayes.metrics.sbc import RankUniformity, rank_uniformity, sbc_ranks
from certibayes.metrics.tarp import tarp
from certibayes.stages.data import load_reference
from certibayes.stages.evaluate_subject import Drawn, Subject, source
from certibayes.stages.findings import Findings, Value

LEVELS = torch.linspace(0, 1, 101, dtype=torch.float64)
LEVEL_90 = 90


def add_calibration(
    findings: Findings, subject: Subject, drawn: Drawn
) -> tuple[dict[str, Value], RankUniformity]:
    """Add curves, ranks and credibilities; return columns and what the ranks of each theta say.

    The first `coverage_draws` of the reporting draws serve all three.
    """
    draws = subject.job.evaluation.coverage_draws
    theta = drawn.theta[:draws]
    at_truth = drawn.posterior.log_prob(subject.target)
    coverage = expected_coverage(at_truth, drawn.log_prob[:draws], LEVELS)
    ranks = sbc_ranks(subject.target, theta)
    chance = source(subject.job, "uniformity")
    uniformity = rank_uniformity(ranks, len(theta), chance)
    references, unit = _references(subject)
    nearness = tarp(subject.target, theta, references, unit, LEVELS, chance)
    findings.add_coverage(drawn.method, drawn.epsilon, LEVELS, coverage.coverage, nearness.coverage)
    findings.add_items(
        drawn.key,
        {
            "sbc_ranks": ranks,
            "sbc_draws": torch.tensor(len(theta)),
            "tarp_credibility": nearness.credibility,
        },
    )
    columns: dict[str, Value] = {
        "coverage_area": coverage.area,
        "coverage_90": float(coverage.coverage[LEVEL_90]),
        "sbc_p": uniformity.smallest_p,
        "tarp_area": nearness.area,
        "tarp_bias": nearness.bias,
        "tarp_p": nearness.p,
    }
    return columns, uniformity


def _references(subject: Subject) -> tuple[Tensor, Tensor]:
    """Return a point of the prior per observation and the prior's std of every parameter.

    The points are true thetas of other test pairs, the same for clean and attacked observations.
    """
    thetas = load_reference(subject.layout, subject.job).target
    others = torch.randint(1, len(thetas), (subject.tests,), generator=source(subject.job, "tarp"))
    std = thetas.std(0)
    rows = (torch.arange(subject.tests) + others) % len(thetas)
    return thetas[rows], torch.where(std > 0, std, 1.0)
