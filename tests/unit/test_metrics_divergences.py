"""KL, total variation and NLL estimates against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from certibayes.metrics.kl import monte_carlo_kl
from certibayes.metrics.nll import negative_log_likelihood
from certibayes.metrics.standard_error import estimate
from certibayes.metrics.total_variation import total_variation_estimate, total_variation_terms
from certibayes.seeding import generator

SHIFTS = torch.tensor([0.0, 0.1, 1.0, 5.0], dtype=torch.float64)


def log_densities(draws: int, seed: object) -> tuple[Tensor, Tensor]:
    """Return log p and log q at draws from p = N(0, 1); q = N(shift, 1), one column per shift."""
    theta = torch.randn(draws, len(SHIFTS), generator=generator(seed), dtype=torch.float64)
    standard = Normal(torch.zeros((), dtype=torch.float64), 1.0)
    return standard.log_prob(theta), standard.log_prob(theta - SHIFTS)


def truth_of_total_variation() -> Tensor:
    return 2 * Normal(0.0, 1.0).cdf(SHIFTS / 2) - 1


@pytest.mark.parametrize(
    ("metric", "truth"),
    [
        (monte_carlo_kl, SHIFTS**2 / 2),
        (total_variation_estimate, truth_of_total_variation()),
    ],
)
def test_estimates_agree_with_two_gaussians(metric, truth):
    found = metric(*log_densities(20_000, "one"))
    assert ((found.mean - truth).abs() <= 4 * found.standard_error).all()
    assert (found.mean[0], found.standard_error[0]) == (0, 0)


@pytest.mark.parametrize("metric", [monte_carlo_kl, total_variation_estimate])
def test_standard_error_is_the_spread_over_repetitions(metric):
    repeated = [metric(*log_densities(400, i)) for i in range(300)]
    spread = torch.stack([found.mean for found in repeated]).std(0)
    stated = torch.stack([found.standard_error for found in repeated]).mean(0)
    torch.testing.assert_close(stated[1:], spread[1:], rtol=0.2, atol=0)


def test_total_variation_terms_lie_between_zero_and_one():
    log_ratio = torch.tensor([-torch.inf, -1000.0, -1.0, 0.0, 1.0, torch.inf])
    terms = total_variation_terms(torch.zeros(6), log_ratio)
    expected = torch.tensor([1.0, 1.0, 1 - math.exp(-1), 0.0, 0.0, 0.0])
    torch.testing.assert_close(terms, expected)


def test_small_total_variation_keeps_its_digits():
    terms = total_variation_terms(torch.zeros(1), torch.tensor([-1e-9]))
    assert float(terms) == pytest.approx(1e-9, rel=1e-6)


def test_nothing_is_dropped():
    found = estimate(
        torch.tensor([[1.0, 1.0, torch.nan], [3.0, torch.inf, 1.0]], dtype=torch.float64)
    )
    assert found.mean[0] == 2
    assert float(found.standard_error[0]) == pytest.approx(1.0)
    assert (found.mean[1], found.standard_error[1]) == (torch.inf, torch.inf)
    assert found.mean[2].isnan()


def test_one_draw_has_no_standard_error():
    with pytest.raises(ValueError, match="at least 2"):
        estimate(torch.ones(1, 3))


def test_nll_of_a_gaussian_is_its_entropy():
    log_p, _ = log_densities(20_000, "nll")
    found = negative_log_likelihood(log_p[:, 0])
    truth = 0.5 * math.log(2 * math.pi * math.e)
    assert abs(float(found.mean) - truth) < 4 * float(found.standard_error)
