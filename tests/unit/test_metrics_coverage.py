"""Expected coverage of posteriors that are exact, too narrow, too wide, or wrong."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor
from torch.distributions import Normal

from certibayes.metrics.coverage import credibility, expected_coverage
from certibayes.seeding import generator

LEVELS = torch.linspace(0, 1, 21)
BATCH, DRAWS = 1_000, 200


def log_probs(width: float, shift: float = 0.0) -> tuple[Tensor, Tensor]:
    """True theta ~ N(0, I_2); the stated posterior is N(shift, width^2 I)."""
    source = generator("coverage", width, shift)
    true = torch.randn(BATCH, 2, generator=source, dtype=torch.float64)
    draws = torch.randn(DRAWS, BATCH, 2, generator=source, dtype=torch.float64)
    stated = Normal(shift, width)
    return stated.log_prob(true).sum(-1), stated.log_prob(shift + width * draws).sum(-1)


def test_exact_posterior_is_covered_at_every_level():
    found = expected_coverage(*log_probs(1.0), LEVELS)
    noise = (LEVELS.double() * (1 - LEVELS.double()) / BATCH).sqrt()
    assert ((found.coverage - found.levels).abs() <= 4 * noise + 1 / DRAWS).all()
    assert found.area < 0.03
    assert (found.coverage[0], found.coverage[-1]) == (0, 1)


def test_credibility_of_an_exact_posterior_is_uniform():
    assert kstest(credibility(*log_probs(1.0)).numpy(), "uniform").pvalue > 0.01


@pytest.mark.parametrize("width", [0.5, 2.0])
def test_coverage_of_a_wrong_width_has_a_closed_form(width):
    """The region of level L is r^2 <= -2 w^2 log(1 - L); it covers 1 - (1 - L)^(w^2)."""
    found = expected_coverage(*log_probs(width), LEVELS)
    truth = 1 - (1 - LEVELS.double()) ** (width**2)
    noise = (truth * (1 - truth) / BATCH).sqrt()
    assert ((found.coverage - truth).abs() <= 4 * noise + 2 / DRAWS * max(width**2, 1)).all()
    exact = abs(0.5 - 1 / (width**2 + 1))
    assert found.area == pytest.approx(exact, abs=0.03)


def test_a_posterior_elsewhere_covers_nothing():
    found = expected_coverage(*log_probs(1.0, shift=50.0), LEVELS)
    assert (found.coverage[:-1] == 0).all()
    assert found.area == pytest.approx(0.5, abs=0.03)


def test_ties_count_half():
    """A uniform posterior has one density: every region of level above 1/2 holds theta."""
    assert credibility(torch.zeros(1), torch.zeros(9, 1)).tolist() == [0.5]


def test_rejects_nan_and_bad_levels():
    true, draws = log_probs(1.0)
    with pytest.raises(ValueError, match="1 NaN"):
        credibility(torch.full((1,), torch.nan), torch.zeros(4, 1))
    for levels in ([0.5, 0.4], [0.0, 1.1]):
        with pytest.raises(ValueError, match="levels: got"):
            expected_coverage(true, draws, torch.tensor(levels))
