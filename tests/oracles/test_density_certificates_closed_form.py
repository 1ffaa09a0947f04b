"""Certificates of densities, answers and shared confidences against closed forms of Gaussians."""

import math

import pytest
import torch
from scipy.stats import chi2
from test_posterior_shift_closed_form import (
    FACTOR,
    MATRIX,
    Bounds,
    LinearGaussian,
    ball_of,
    drawn,
    observations,
    total_variation,
    vertices,
)
from torch.distributions import Normal

from certibayes import registry
from certibayes.certificates.answers import answers
from certibayes.certificates.confidence import split_confidence
from certibayes.certificates.coverage import Coverage
from certibayes.certificates.coverage_draws import at_true_thetas
from certibayes.certificates.log_density import LogDensity
from certibayes.certificates.posterior_shift import PosteriorShift
from certibayes.config.certificates import Coverage as CoverageSpec
from certibayes.config.certificates import LogDensity as LogDensitySpec
from certibayes.config.certificates import PosteriorShift as ShiftSpec
from certibayes.seeding import generator
from certibayes.threat import Ball

GRID = {"norm": "linf", "unit": "raw", "epsilons": (0.05, 0.1, 0.2)}
STEP = torch.tensor([0.3, 0.1, -0.2], dtype=torch.float64)
"""From x to the other point of the set {x, x + STEP}."""
ALPHA, REPETITIONS = 0.05, 2_000
MISSES = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / REPETITIONS)
NAMES = ("first", "second")
ANSWERS = {
    "regions": {"corner": {"first": (0.0, 2.0), "second": (-1.0, 0.5)}},
    "quantiles": {"first": (0.05, 0.5, 0.9)},
}


def two_points(estimator, theta, x, ball):
    """Exact bounds over {x, x + radius}."""
    here, there = (estimator(x + step).log_prob(theta) for step in (0.0, ball.radius))
    return Bounds(torch.minimum(here, there), torch.maximum(here, there))


def corners(estimator, theta, x, ball):
    """Exact over linf from below, a corner being worst; from above what the mode allows."""
    values = torch.stack([estimator(x + delta).log_prob(theta) for delta in vertices(ball)])
    mode = -FACTOR.diagonal().log().sum() - math.log(2 * math.pi)
    return Bounds(values.amin(0), mode.expand_as(values[0]))


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    path = f"{LinearGaussian.__module__}:LinearGaussian"
    monkeypatch.setitem(registry.REGISTRY["estimator"], "stand_in", path)
    rule = f"{__name__}:two_points"
    monkeypatch.setitem(registry.REGISTRY["estimator_bounds"], "stand_in", rule)


def squares(theta, mean):
    """Squared Mahalanobis distances, shape (*, batch)."""
    moved = (theta - mean).unsqueeze(-1)
    return torch.linalg.solve_triangular(FACTOR, moved, upper=False).squeeze(-1).square().sum(-1)


def repeated(theta_of_x):
    """One observation, REPETITIONS times, each row with draws of its own."""
    x = observations(1).expand(REPETITIONS, 3)
    return x, (x @ MATRIX.T + torch.tensor(theta_of_x).double())


def test_the_drop_of_a_gaussian_is_its_closed_form(monkeypatch):
    rule = f"{__name__}:corners"
    monkeypatch.setitem(registry.REGISTRY["estimator_bounds"], "stand_in", rule)
    x = observations(20)
    model = LinearGaussian()
    theta = model(x).draw(1, generator("truth"))[0]
    ball = ball_of(0.2)
    means = torch.stack([(x + delta) @ MATRIX.T for delta in vertices(ball)])
    worst = (0.5 * (squares(theta, means) - squares(theta, x @ MATRIX.T))).amax(0)
    for drop in (0.1, 0.5, 2.0):
        certificate = LogDensity(LogDensitySpec(perturbation=GRID, drop=drop))
        prepared = certificate.prepare(model, x, theta, seed=0)
        result = certificate.certify(prepared, ball)
        torch.testing.assert_close(result.upper, worst)
        assert torch.equal(result.certified, worst <= drop)


def test_the_credible_mass_is_bounded_no_less_often_than_stated():
    """Q'(denser) at a Gaussian is a chi-square probability; misses over repeated draws."""
    x, theta = repeated((0.9, 0.4))
    spec = CoverageSpec(
        perturbation=GRID, draws=100, comparison_draws=50, confidence=1 - ALPHA, level=0.9
    )
    certificate = Coverage(spec)
    prepared = at_true_thetas(drawn(LinearGaussian(), x, 100, 5), theta, seed=5)
    result = certificate.certify(prepared, Ball("linf", STEP))
    worst = max(
        chi2.cdf(float(squares(theta[:1], (x[:1] + step) @ MATRIX.T)), df=2) for step in (0, STEP)
    )
    assert 0.3 < worst < 0.9
    assert (result.upper < worst).double().mean() <= MISSES
    many = LinearGaussian()(x[:1]).draw(200_000, generator("many"))
    bounds = two_points(LinearGaussian(), many, x[:1], Ball("linf", STEP))
    least = two_points(LinearGaussian(), theta[:1], x[:1], Ball("linf", STEP)).lower
    share = float((bounds.upper >= least).double().mean())
    assert share + total_variation(STEP.unsqueeze(0)).item() >= worst
    assert (result.denser < share).double().mean() <= MISSES
    assert (result.shift < total_variation(STEP.unsqueeze(0)).item()).double().mean() <= MISSES


@pytest.mark.slow
def test_verdicts_on_coverage_are_wrong_no_more_often_than_stated():
    """At a level equal to the worst mass every `certified` is an error; refuted below it too."""
    x, theta = repeated((0.9, 0.4))
    attacked = x + STEP
    worst = chi2.cdf(float(squares(theta[:1], attacked[:1] @ MATRIX.T)), df=2)
    spec = CoverageSpec(
        perturbation=GRID, draws=100, comparison_draws=100, confidence=1 - ALPHA, level=worst
    )
    certificate = Coverage(spec)
    prepared = at_true_thetas(drawn(LinearGaussian(), x, 100, 6), theta, seed=6)
    result = certificate.certify(prepared, Ball("linf", STEP))
    assert result.certified.double().mean() <= MISSES
    ball = Ball("linf", STEP.abs())
    refuted = certificate.refute(prepared, result, attacked, ball).refuted
    assert refuted.double().mean() <= MISSES
    lower = CoverageSpec.model_validate(spec.model_dump() | {"level": worst / 5})
    assert Coverage(lower).refute(prepared, result, attacked, ball).refuted.double().mean() > 0.9


def shift_spec(**fields):
    sizes = {"draws": 200, "comparison_draws": 50, "confidence": 1 - ALPHA}
    return ShiftSpec(perturbation=GRID, **sizes | fields)


@pytest.mark.slow
def test_answers_hold_as_often_as_stated():
    x, _ = repeated((0.0, 0.0))
    spec = shift_spec(answers=ANSWERS)
    certificate = PosteriorShift(spec)
    prepared = drawn(LinearGaussian(), x, 200, 7)
    shift = certificate.certify(prepared, Ball("linf", STEP)).upper
    found = answers(spec, prepared, shift, NAMES)
    deviation = (FACTOR @ FACTOR.T)[0, 0].sqrt()
    for step in (torch.zeros(3).double(), STEP):
        mean = (x[0] + step) @ MATRIX.T
        draws = LinearGaussian()(x[:1] + step).draw(400_000, generator("truth"))[:, 0]
        inside = (draws[:, 0] >= 0) & (draws[:, 0] <= 2)
        inside &= (draws[:, 1] >= -1) & (draws[:, 1] <= 0.5)
        truths = {"probability_corner": float(inside.double().mean())}
        for level in (0.05, 0.5, 0.9):
            truths[f"quantile_{level:g}_first"] = float(
                Normal(mean[0], deviation).icdf(torch.tensor(level).double())
            )
        assert set(truths) == set(found)
        for label, truth in truths.items():
            answer = found[label]
            missed = (answer.low > truth) | (answer.high < truth)
            assert missed.double().mean() <= MISSES, label
            assert (answer.low <= answer.high).all()
    assert (found["quantile_0.5_first"].high < torch.inf).all()
    assert (found["probability_corner"].high - found["probability_corner"].low < 1).all()


@pytest.mark.slow
def test_intervals_of_the_answers_alone_are_neither_wrong_nor_vacuous():
    """With a shift of 0 what is left is the confidence interval at x, half of alpha."""
    x, _ = repeated((0.0, 0.0))
    spec = shift_spec(answers=ANSWERS)
    prepared = drawn(LinearGaussian(), x, 200, 8)
    found = answers(spec, prepared, torch.zeros(REPETITIONS).double(), NAMES)
    normal = Normal((x[0] @ MATRIX.T)[0], (FACTOR @ FACTOR.T)[0, 0].sqrt())
    allowed = ALPHA / 2 + 3 * math.sqrt(ALPHA / 2 * (1 - ALPHA / 2) / REPETITIONS)
    for level in (0.05, 0.5, 0.9):
        answer = found[f"quantile_{level:g}_first"]
        truth = normal.icdf(torch.tensor(level).double())
        missed = (answer.low > truth) | (answer.high < truth)
        assert 0 < missed.double().mean() <= allowed


def test_the_mean_of_a_parameter_needs_two_ends():
    spec = shift_spec(answers={"means": ["first"]})
    prepared = PosteriorShift(spec).prepare(LinearGaussian(), observations(2), None, seed=1)
    with pytest.raises(ValueError, match="bounds on both sides"):
        answers(spec, prepared, torch.zeros(2).double(), NAMES)
    spec = shift_spec(answers={"quantiles": {"third": [0.5]}})
    with pytest.raises(ValueError, match="'third'; allowed: first, second"):
        answers(spec, prepared, torch.zeros(2).double(), NAMES)


@pytest.mark.parametrize("shared", [{"simultaneous": True}, {"radius": True}, {"answers": ANSWERS}])
def test_a_split_confidence_is_that_of_the_share(shared):
    x, radius = observations(4), Ball("linf", STEP)
    spec = shift_spec(**shared)
    prepared = PosteriorShift(spec).prepare(LinearGaussian(), x, None, seed=9)
    split = PosteriorShift(spec).certify(prepared, radius)
    parts = {"simultaneous": 4, "radius": 3, "answers": 2}[next(iter(shared))]
    alone = shift_spec(confidence=split_confidence(1 - ALPHA, parts))
    assert torch.equal(split.upper, PosteriorShift(alone).certify(prepared, radius).upper)
    assert split.confidence == 1 - ALPHA
    plain = PosteriorShift(shift_spec()).certify(prepared, radius)
    assert (split.upper > plain.upper).all()
    assert torch.equal(split.mean, plain.mean)


@pytest.mark.slow
def test_all_observations_at_once_are_missed_no_more_often_than_stated():
    groups, size = 2_000, 5
    x = observations(1).expand(groups * size, 3)
    prepared = drawn(LinearGaussian(), x, 60, 10)
    truth = total_variation(STEP.unsqueeze(0)).item()
    each = split_confidence(1 - ALPHA, shift_spec(simultaneous=True).statements(size))
    alone = PosteriorShift(shift_spec(draws=60, confidence=each, interval="betting"))
    missed = (alone.certify(prepared, Ball("linf", STEP)).upper < truth).view(groups, size).any(1)
    assert missed.double().mean() <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / groups)


def test_a_confidence_is_split_by_the_union_bound():
    assert split_confidence(0.999, 1) == 0.999
    assert 1 - split_confidence(0.999, 200) <= (1 - 0.999) / 200
    assert split_confidence(0.9, 2) == pytest.approx(0.95)
    with pytest.raises(ValueError, match="statements: got 0"):
        split_confidence(0.9, 0)
    with pytest.raises(ValueError, match="split over"):
        split_confidence(1 - 1e-15, 10**6)
