"""Decisions of the true predictive: the bound covers it, with the confidence that is stated."""

import math

import pytest
import torch
from torch import nn

from certibayes.bnn.margin_bounds import MarginBounds
from certibayes.bnn.predictive import Predictive
from certibayes.certificates.base import UnsoundBoundError
from certibayes.certificates.decision import Decision, margins_at, margins_reached
from certibayes.certificates.posterior_decision import PosteriorDecision, variance_most
from certibayes.config.certificates import Decision as DecisionSpec
from certibayes.config.certificates import PosteriorDecision as Spec
from certibayes.seeding import generator
from certibayes.threat import Ball

GRID = {"norm": "linf", "unit": "raw", "epsilons": (0.1,)}
STD, DRAWS = 1.5, 100


def linear(weights):
    """Two classes, logits (0, w x), one feature: p_1 - p_0 = tanh(w x / 2)."""
    network = nn.Sequential(nn.Linear(1, 2, bias=False)).double()
    rows = torch.stack([torch.zeros_like(weights), weights], 1).unsqueeze(-1)
    return Predictive(network, {"0.weight": rows}).eval()


def drawn(mean, n, *seed):
    return mean + STD * torch.randn(n, generator=generator(*seed), dtype=torch.float64)


def certificate(draws=DRAWS, **fields):
    return PosteriorDecision(Spec(perturbation=GRID, draws=draws, **fields))


X = torch.tensor([[1.0], [0.3]], dtype=torch.float64)
LABEL = torch.zeros(2, dtype=torch.int64)
BALL = Ball("linf", torch.tensor([0.1], dtype=torch.float64), None)


@pytest.mark.parametrize("interval", ["hoeffding", "empirical_bernstein"])
def test_the_bound_holds_with_its_confidence(interval):
    """w ~ N(mean, std^2): the largest E tanh(w x' / 2) over the ball is known by quadrature."""
    mean, repeats, confidence = -0.3, 150, 0.8
    grid = mean + STD * torch.linspace(-8, 8, 4001, dtype=torch.float64)
    density = torch.exp(-((grid - mean) ** 2) / (2 * STD**2))
    ends = X + torch.linspace(-0.1, 0.1, 41, dtype=torch.float64)
    truth = (torch.tanh(grid * ends.unsqueeze(-1) / 2) * density).sum(-1) / density.sum()
    failures = torch.zeros(2)
    for repeat in range(repeats):
        rule = certificate(confidence=confidence, interval=interval)
        model = linear(drawn(mean, DRAWS, "repeat", repeat))
        result = rule.certify(rule.prepare(model, X, LABEL, 0), BALL)
        failures += result.upper < truth.amax(1)
        assert (result.mean <= result.upper).all()
    assert (failures <= repeats * (1 - confidence)).all()


def test_many_draws_certify_few_do_not_and_other_signs_refute():
    for n, some in ((2, False), (4000, True)):
        rule = certificate(n)
        result = rule.certify(rule.prepare(linear(drawn(-4.0, n, "sure")), X, LABEL, 0), BALL)
        assert bool(result.certified.any()) == some
        assert result.confidence == 0.999
    rule = certificate(4000)
    prepared = rule.prepare(linear(drawn(4.0, 4000, "wrong")), X, LABEL, 0)
    result = rule.certify(prepared, BALL)
    confronted = rule.refute(prepared, result, X, BALL)
    assert not result.certified.any()
    assert confronted.refuted.all()
    with pytest.raises(UnsoundBoundError):
        rule.refute(prepared, rule.certify(prepared, BALL.scaled(0.0)), X + 0.1, BALL)


@pytest.mark.parametrize("moved", [[], [0], [1], [0, 1]])
def test_rows_that_an_attack_leaves_alone_keep_their_margin(moved):
    rule = certificate()
    prepared = rule.prepare(linear(drawn(0.0, DRAWS, "rows")), X, LABEL, 0)
    attacked = X.clone()
    attacked[moved] += 0.05
    reached = margins_at(prepared.model, attacked, LABEL)
    torch.testing.assert_close(margins_reached(prepared, attacked), reached, rtol=0, atol=1e-15)
    confronted = rule.refute(prepared, rule.certify(prepared, BALL), attacked, BALL)
    torch.testing.assert_close(confronted.lower, reached, rtol=0, atol=1e-15)


def test_it_is_the_bound_of_the_drawn_ensemble_and_a_width():
    rule = certificate(interval="hoeffding", confidence=0.95, bounds="crown_ibp")
    model = linear(drawn(-4.0, DRAWS, "width"))
    result = rule.certify(rule.prepare(model, X, LABEL, 0), BALL)
    stored = Decision(DecisionSpec(perturbation=GRID))
    of_ensemble = stored.certify(stored.prepare(model, X, LABEL, 0), BALL)
    width = 2 * math.sqrt(math.log(20) / (2 * DRAWS))
    assert (result.mean <= of_ensemble.upper + 1e-12).all()
    torch.testing.assert_close(result.upper - result.mean, torch.full_like(result.mean, width))


def test_the_confidence_is_split_over_what_holds_together():
    model = linear(drawn(-4.0, DRAWS, "split"))
    each, together = (
        rule.certify(rule.prepare(model, X, LABEL, 0), BALL).upper
        for rule in (certificate(), certificate(simultaneous=True, radius=True))
    )
    assert (together > each).all()
    assert Spec(perturbation=GRID | {"epsilons": (0.1, 0.2)}, radius=True).statements(7) == 2
    assert Spec(perturbation=GRID, simultaneous=True).statements(7) == 7


def test_no_values_between_the_bounds_vary_more():
    source = generator("variance")
    low = torch.rand(9, 3, 2, generator=source, dtype=torch.float64) - 1
    high = low + torch.rand(9, 3, 2, generator=source, dtype=torch.float64)
    most = variance_most(MarginBounds(low, high, high.mean(0)))
    for _ in range(200):
        ends = torch.rand(9, 3, 2, generator=source).round().double()
        assert ((low + ends * (high - low)).var(0) <= most + 1e-12).all()
    torch.testing.assert_close(variance_most(MarginBounds(low, low, low)), low.var(0))


def test_other_numbers_of_draws_are_refused():
    with pytest.raises(ValueError, match=r"got 3 weight samples; allowed: 100"):
        certificate().prepare(linear(drawn(0.0, 3, "few")), X, LABEL, 0)
