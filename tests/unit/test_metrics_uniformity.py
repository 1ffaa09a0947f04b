"""The test of ranks for uniformity is exact, even with few draws and many observations."""

from __future__ import annotations

import torch
from scipy.stats import kstest

from certibayes.metrics.uniformity import uniformity
from certibayes.seeding import generator


def test_p_values_of_uniform_ranks_are_uniform():
    source = generator("uniform ranks")
    ranks = torch.randint(0, 10, (300, 1_000), generator=source)
    p = [uniformity(row, 9, source).p for row in ranks]
    assert kstest(p, "uniform").pvalue > 0.01


def test_ranks_that_lean_to_one_side_are_rejected():
    source = generator("leaning ranks")
    ranks = torch.randint(0, 10, (1_000,), generator=source)
    leaning = torch.minimum(ranks, torch.randint(0, 40, (1_000,), generator=source))
    found = uniformity(leaning, 9, source)
    assert found.p < 0.01
    assert found.statistic > 0.05
