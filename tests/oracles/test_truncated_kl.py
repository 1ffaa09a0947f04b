"""Total variation by a truncated divergence, against distributions whose distance is known."""

import math

import pytest
import torch
from torch.distributions import Normal

from certibayes.bounds.interval import Interval
from certibayes.certificates.truncated_kl import SIZES, Stated, TruncatedKL, total_variation_bound
from certibayes.metrics.intervals.select import mean_upper
from certibayes.metrics.intervals.width import mean_width
from certibayes.seeding import generator

METHODS = ("hoeffding", "empirical_bernstein")
ALPHA = 0.05
REPETITIONS = 2_000


def missed_at_most(missed, alpha=ALPHA):
    spread = math.sqrt(alpha * (1 - alpha) / len(missed))
    return float(missed.double().mean()) <= alpha + 3 * spread


def true_variation(shift):
    return math.erf(shift / math.sqrt(8))


def planes(shift, draws, source, batch=REPETITIONS):
    """q(theta | x') = N(shift x', 1) at x = 0, |x'| <= 1: log ratio >= shift z x' - shift^2 / 2.

    The plane is attained at x' = 1 and x' = -1, so that there L(theta) = log q(theta | x').
    """
    noise = torch.randn(draws, batch, generator=source, dtype=torch.float64)
    return (shift * noise).unsqueeze(-1), torch.full_like(noise, -(shift**2) / 2)


def of_pilot(pilot, stated):
    slope, _ = pilot
    ones = torch.ones(slope.shape[1], 1, dtype=torch.float64)
    return TruncatedKL.of_pilot(Interval(-ones, ones), 0 * ones, [pilot], stated)


def truncated(shift, pilot, draws, batch=REPETITIONS, method="hoeffding"):
    source = generator("planes", shift, pilot, draws)
    stated = Stated(method, 1 - ALPHA, draws)
    found = of_pilot(planes(shift, pilot, source, batch), stated)
    for _ in range(2):
        found.add(*planes(shift, draws // 2, source, batch))
    return found


CENTER, SPREAD, REACH, DROP = 1.0, 0.5, 1.6, 0.2


def known(draws, batch=REPETITIONS):
    """Planes -(1 + z / 2) t - 0.2 over 0 <= t <= 1: t = 1 is the worst, K = {|1 + z / 2| <= 1.6}.

    Returns the bounds, the terms -1_K g(1) and which draws lie in K.
    """
    ones = torch.ones(batch, 1, dtype=torch.float64)
    found = TruncatedKL(Interval(0 * ones, ones), 0 * ones, REACH * ones[:, 0], DROP * ones[:, 0])
    noise = torch.randn(draws, batch, generator=generator("known"), dtype=torch.float64)
    moved = CENTER + SPREAD * noise
    found.add(-moved.unsqueeze(-1), torch.full_like(moved, -DROP))
    inside = moved.abs() <= REACH
    return found, torch.where(inside, moved + DROP, 0.0), inside


def mass_and_divergence():
    """P(K) and E[-1_K g(1)], moments of a truncated normal."""
    normal = Normal(0.0, 1.0)
    ends = (torch.tensor([-REACH, REACH], dtype=torch.float64) - CENTER) / SPREAD
    low, high = normal.log_prob(ends).exp().tolist()
    mass = float(normal.cdf(ends).diff())
    return mass, (CENTER + DROP) * mass + SPREAD * (low - high)


@pytest.mark.parametrize("method", METHODS)
def test_the_divergence_over_the_region_is_missed_no_more_often_than_stated(method):
    found, _, _ = known(100)
    _, truth = mass_and_divergence()
    assert missed_at_most(found.divergence_upper(method, ALPHA, 100) < truth)
    without_width = found.divergence_upper("hoeffding", 1.0, 100)
    assert not missed_at_most(without_width < truth), "nothing but the width protects"


@pytest.mark.parametrize("method", METHODS)
def test_the_divergence_is_bounded_no_tighter_than_its_terms_allow(method):
    """At the worst t the terms are known: an interval of their mean is what is due, no less."""
    found, terms, _ = known(100, batch=200)
    span = 2 * REACH + DROP
    due = span * mean_upper(method, ((terms + REACH) / span).clamp(0, 1), ALPHA) - REACH
    upper = found.divergence_upper(method, ALPHA, 100)
    assert (upper >= due - 1e-12).all()
    if method == "hoeffding":
        torch.testing.assert_close(upper, due)


def test_the_mass_of_the_region_is_missed_nearly_as_often_as_stated():
    found, _, inside = known(100)
    truth, _ = mass_and_divergence()
    missed = found.mass_lower(ALPHA, 100) > truth
    assert missed_at_most(missed)
    assert missed.double().mean() >= ALPHA / 4, "no slack that would hide an error"
    assert not missed_at_most(inside.double().mean(0) > truth)


@pytest.mark.parametrize("method", METHODS)
def test_either_statement_takes_half_of_what_confidence_leaves(method):
    found = truncated(0.3, 20, 400, batch=50)

    def joined(alpha):
        outside = 1 - found.mass_lower(alpha, 400)
        return total_variation_bound(found.divergence_upper(method, alpha, 400), outside)

    upper = found.upper(method, 1 - ALPHA)
    torch.testing.assert_close(upper, joined(ALPHA / 2))
    assert (upper < 1).all()
    assert (upper > joined(ALPHA) + 1e-6).all()


@pytest.mark.parametrize("method", METHODS)
def test_upper_is_near_the_truth_and_above_the_mean(method):
    found = truncated(0.25, 500, 20_000, batch=20, method=method)
    upper = found.upper(method, 1 - ALPHA)
    assert (upper >= true_variation(0.25)).all()
    assert (upper > found.mean()).all()
    if method == "empirical_bernstein":
        assert float(upper.median()) <= 1.6 * true_variation(0.25)


@pytest.mark.parametrize("method", METHODS)
def test_widths_cover_the_mean_of_skewed_terms(method):
    """Terms are -1 with probability 0.97 and 3 otherwise: rare large values decide the mean."""
    n, span = 60, torch.tensor(4.0, dtype=torch.float64)
    uniform = torch.rand(n, REPETITIONS, generator=generator("skewed"), dtype=torch.float64)
    terms = torch.where(uniform < 0.97, -1.0, 3.0).double()
    upper = terms.mean(0) + mean_width(method, terms.var(0), span, n, ALPHA)
    assert missed_at_most(upper < -0.97 + 0.09)
    naive = terms.mean(0) + 1.645 * (terms.var(0) / n).sqrt()
    assert not missed_at_most(naive < -0.97 + 0.09), "the terms are skewed enough to tell"


def test_the_inequality_holds_for_any_distributions_and_regions():
    source = generator("discrete")
    shape = (20_000, 6)
    for power in (0.3, 1.0, 4.0):
        p, q = (
            (power * torch.randn(shape, generator=source, dtype=torch.float64)).softmax(-1)
            for _ in range(2)
        )
        q = torch.where(torch.rand(len(p), 1, generator=source) < 0.5, q, 0.9 * p + 0.1 * q)
        inside = torch.rand(shape, generator=source) < 0.8
        divergence = (inside * p * (p / q).log()).sum(-1)
        outside = 1 - (inside * p).sum(-1)
        variation = (p - q).clamp(min=0).sum(-1)
        assert (total_variation_bound(divergence, outside) >= variation - 1e-12).all()


def test_what_lies_outside_counts_twice():
    """Q = P given K: the divergence over K is negative, yet mass 1 - pi has moved."""
    pi = torch.tensor([0.9], dtype=torch.float64)
    divergence = pi * pi.log()
    assert (divergence < 0).all()
    assert (total_variation_bound(divergence, 1 - pi) >= 1 - pi).all()
    zero = torch.zeros(1, dtype=torch.float64)
    assert total_variation_bound(zero, zero).item() == 0
    assert total_variation_bound(zero + torch.inf, zero).item() == 1


def sizes_of(reach):
    """Return the candidates of A from the reach of the pilot draws that say how large they are."""
    ordered = reach[::2].sort(0).values
    ranks = [math.ceil(level * len(ordered)) - 1 for _, level in SIZES]
    return torch.stack([margin * ordered[k] for (margin, _), k in zip(SIZES, ranks, strict=True)])


@pytest.mark.parametrize("method", METHODS)
def test_the_region_is_the_one_that_pilots_say_is_best(method):
    """Heavy-tailed slopes: the largest of the pilots would make every width huge."""
    n, batch, source = 2_000, 20, generator("heavy", method)
    uniform = torch.rand(2, n, batch, generator=source, dtype=torch.float64)
    slope = 0.2 * torch.tan(1.57 * (2 * uniform - 1)).unsqueeze(-1)
    offset, ones = torch.zeros(n, batch).double(), torch.ones(batch, 1).double()
    found = of_pilot((slope[0], offset), Stated(method, 0.99, n))
    uppers = []
    for size in sizes_of(slope[0].abs().squeeze(-1)):
        fixed = TruncatedKL(Interval(-ones, ones), 0 * ones, size, 0 * size)
        fixed.add(slope[1], offset)
        uppers.append(fixed.upper(method, 0.99))
    found.add(slope[1], offset)
    upper, best = found.upper(method, 0.99), torch.stack(uppers).amin(0)
    assert (upper <= best + 0.1).all()
    assert upper.median() <= best.median() + 0.01
    assert upper.median() < uppers[0].median() - 0.1


def test_half_of_the_pilots_says_how_large_and_no_reporting_draw_does():
    source = generator("halves")
    pilot = planes(0.4, 60, source, batch=5)
    found = of_pilot(pilot, Stated("hoeffding", 0.95, 500))
    reach, drop = found.reach.clone(), found.drop.clone()
    candidates = sizes_of(pilot[0].abs().squeeze(-1))
    assert ((reach - candidates).abs() < 1e-12).any(0).all()
    found.add(*(100 * t for t in planes(0.4, 500, source, batch=5)))
    assert torch.equal(found.reach, reach)
    assert torch.equal(found.drop, drop)
    assert (found.upper("hoeffding", 0.95) == 1).all()


def test_planes_that_are_not_finite_lie_outside():
    source = generator("infinite")
    slope, offset = planes(0.3, 400, source, batch=2)
    offset[::2, 1] = -torch.inf
    slope[1::4, 1] = torch.nan
    found = of_pilot((slope, offset), Stated("hoeffding", 0.95, 400))
    found.add(slope, offset)
    upper = found.upper("hoeffding", 0.95)
    assert upper.isfinite().all()
    assert upper[0] < 0.9
    assert upper[1] == 1
