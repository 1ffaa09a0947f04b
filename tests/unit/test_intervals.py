"""Confidence bounds: coverage by repetition, tightness, constants, refusals."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import binom
from torch.distributions import Beta

from certibayes.metrics.intervals import (
    betting_lower,
    betting_upper,
    clopper_pearson_lower,
    clopper_pearson_upper,
    empirical_bernstein_lower,
    empirical_bernstein_upper,
    hoeffding_lower,
    hoeffding_upper,
    mean_lower,
    mean_upper,
)
from certibayes.metrics.intervals.betting import _bets, _largest_log_capital
from certibayes.seeding import generator

ALPHA = 0.05
REPETITIONS = 4_000
METHODS = ("hoeffding", "empirical_bernstein", "betting")
UPPERS = (hoeffding_upper, empirical_bernstein_upper, betting_upper)
SLACK = 3 * math.sqrt(ALPHA * (1 - ALPHA) / REPETITIONS)


def bernoulli(p, n, source):
    return (torch.rand(n, REPETITIONS, generator=source, dtype=torch.float64) < p).double(), p


def beta(a, b, n, source):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(source.initial_seed())
        alpha, beta_ = torch.tensor([a, b], dtype=torch.float64)
        return Beta(alpha, beta_).sample((n, REPETITIONS)), a / (a + b)


def rare_spike(n, source):
    """Almost always 0.001; 1 with probability 1/n: the sample often misses the spike."""
    spike, _ = bernoulli(1 / n, n, source)
    return torch.where(spike > 0, 1.0, 0.001).double(), 1 / n + (1 - 1 / n) * 0.001


CASES = {
    "bernoulli_half": lambda s: bernoulli(0.5, 100, s),
    "bernoulli_small": lambda s: bernoulli(0.02, 300, s),
    "bernoulli_large": lambda s: bernoulli(0.97, 100, s),
    "beta_skewed": lambda s: beta(0.3, 3.0, 200, s),
    "beta_u_shaped": lambda s: beta(0.2, 0.2, 50, s),
    "beta_near_zero": lambda s: beta(0.02, 2.0, 400, s),
    "rare_spike": lambda s: rare_spike(100, s),
    "two_terms": lambda s: bernoulli(0.5, 2, s),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES)
def test_bounds_miss_the_mean_no_more_often_than_they_say(method, case):
    terms, mean = CASES[case](generator("coverage", case))
    too_low = (mean_upper(method, terms, ALPHA) < mean).double().mean()
    too_high = (mean_lower(method, terms, ALPHA) > mean).double().mean()
    assert too_low <= ALPHA + SLACK
    assert too_high <= ALPHA + SLACK


def test_betting_is_not_merely_loose():
    terms, mean = CASES["bernoulli_half"](generator("tight"))
    missed = (betting_upper(terms, ALPHA) < mean).double().mean()
    assert missed > 0.005


def test_small_variance_is_used():
    terms = 0.1 + 0.01 * torch.rand(2_000, 50, generator=generator("small"), dtype=torch.float64)
    hoeffding, bernstein, betting = (upper(terms, 0.001) for upper in UPPERS)
    assert (bernstein < hoeffding).all()
    assert (betting < bernstein).all()
    assert (betting > terms.mean(0)).all()


def test_bounds_bracket_the_sample_mean_and_stay_in_the_unit_interval():
    terms = torch.rand(50, 20, generator=generator("bracket"), dtype=torch.float64)
    edges = torch.tensor([0.0, 1.0], dtype=torch.float64).expand(50, 2)
    terms = torch.cat([terms, edges], 1)
    for method in METHODS:
        lower, upper = mean_lower(method, terms, 0.01), mean_upper(method, terms, 0.01)
        assert ((lower >= 0) & (upper <= 1)).all()
        assert ((lower <= terms.mean(0)) & (terms.mean(0) <= upper)).all()


def test_named_lower_bounds_mirror_the_upper_ones():
    terms = torch.rand(40, 3, generator=generator("mirror"), dtype=torch.float64)
    for method, lower in zip(
        METHODS, (hoeffding_lower, empirical_bernstein_lower, betting_lower), strict=True
    ):
        torch.testing.assert_close(lower(terms, 0.1), mean_lower(method, terms, 0.1))
        torch.testing.assert_close(lower(terms, 0.1), 1 - mean_upper(method, 1 - terms, 0.1))


def test_hoeffding_constant():
    terms = torch.full((200, 1), 0.25, dtype=torch.float64)
    assert hoeffding_upper(terms, 0.05).item() == pytest.approx(
        0.25 + math.sqrt(math.log(20) / 400)
    )


def test_empirical_bernstein_constants():
    terms = torch.tensor([[0.0], [1.0]] * 100, dtype=torch.float64)
    log_term = math.log(2 / 0.05)
    variance = 0.25 * 200 / 199
    expected = 0.5 + math.sqrt(2 * variance * log_term / 200) + 7 * log_term / (3 * 199)
    assert empirical_bernstein_upper(terms, 0.05).item() == pytest.approx(expected)


def test_betting_equals_a_plain_scalar_loop():
    terms = torch.rand(30, 1, generator=generator("loop"), dtype=torch.float64) ** 3
    upper = betting_upper(terms, 0.1).item()

    def excluded(m):
        log_capital, best, total, squares = 0.0, -math.inf, 0.0, 0.0
        variance = 0.25
        for i, value in enumerate(terms[:, 0].tolist(), start=1):
            bet = min(math.sqrt(2 * math.log(10) / (30 * variance)), 0.75 / (1 - m))
            log_capital += math.log(1 - bet * (value - m))
            best = max(best, log_capital)
            total += value
            squares += (value - (0.5 + total) / (i + 1)) ** 2
            variance = (0.25 + squares) / (i + 1)
        return best >= math.log(10)

    assert excluded(upper)
    assert excluded((1 + upper) / 2)
    assert not excluded(upper - 1e-6)


def test_betting_excluded_means_form_one_interval():
    terms = torch.rand(60, 1, generator=generator("monotone"), dtype=torch.float64) ** 2
    grid = torch.linspace(0, 0.999, 400, dtype=torch.float64)
    tiled = terms.expand(-1, 400)
    capital = _largest_log_capital(tiled, _bets(tiled, 0.05), grid)
    assert (capital.diff() >= -1e-12).all()


def test_batch_columns_do_not_touch_each_other():
    terms = torch.rand(100, 7, generator=generator("columns"), dtype=torch.float64)
    for upper in UPPERS:
        single = torch.cat([upper(column, 0.01) for column in terms.split(1, dim=1)])
        torch.testing.assert_close(upper(terms, 0.01), single, rtol=0, atol=1e-7)


@pytest.mark.parametrize("p", [0.01, 0.3, 0.9])
def test_clopper_pearson_covers_exactly(p):
    n = 60
    k = range(n + 1)
    weights = binom.pmf(k, n, p)
    below = sum(w for w, i in zip(weights, k, strict=True) if clopper_pearson_upper(i, n, 0.05) < p)
    above = sum(w for w, i in zip(weights, k, strict=True) if clopper_pearson_lower(i, n, 0.05) > p)
    assert below <= 0.05
    assert above <= 0.05


def test_clopper_pearson_edges():
    assert clopper_pearson_lower(0, 10, 0.05) == 0.0
    assert clopper_pearson_upper(10, 10, 0.05) == 1.0
    assert clopper_pearson_upper(0, 10, 0.05) == pytest.approx(1 - 0.05**0.1)
    assert clopper_pearson_lower(10, 10, 0.05) == pytest.approx(0.05**0.1)


@pytest.mark.parametrize("upper", UPPERS)
def test_bad_terms_are_refused(upper):
    good = torch.full((5, 2), 0.5, dtype=torch.float64)
    with pytest.raises(ValueError, match="alpha"):
        upper(good, 0.0)
    with pytest.raises(ValueError, match="float64"):
        upper(good.float(), 0.05)
    with pytest.raises(ValueError, match="n >= 2"):
        upper(good[:1], 0.05)
    with pytest.raises(ValueError, match=r"allowed: \[0, 1\]"):
        upper(good * 3, 0.05)
    with pytest.raises(ValueError, match=r"allowed: \[0, 1\]"):
        upper(good * math.nan, 0.05)


def test_bad_proportions_are_refused():
    with pytest.raises(ValueError, match="successes"):
        clopper_pearson_lower(11, 10, 0.05)
    with pytest.raises(ValueError, match="alpha"):
        clopper_pearson_upper(1, 10, 1.0)
