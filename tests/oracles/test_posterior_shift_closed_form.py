"""Posterior shift against Gaussians whose worst-case total variation is known exactly."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import pytest
import torch
from torch.distributions import Normal, constraints, kl_divergence

from certibayes import registry
from certibayes.certificates.base import UnsoundBoundError, Verdict
from certibayes.certificates.posterior_draws import PosteriorDraws
from certibayes.certificates.posterior_shift import PosteriorShift
from certibayes.config.certificates import PosteriorShift as Spec
from certibayes.config.models import Gaussian
from certibayes.estimators.base import Estimator
from certibayes.estimators.gaussian import GaussianEstimator
from certibayes.estimators.posterior import BijectivePosterior
from certibayes.seeding import generator
from certibayes.threat import Ball

GRID = {"norm": "linf", "unit": "raw", "epsilons": (0.1,)}
MATRIX = torch.tensor([[0.9, -0.4, 0.2], [0.3, 0.8, -0.5]], dtype=torch.float64)
FACTOR = torch.tensor([[0.8, 0.0], [0.3, 0.5]], dtype=torch.float64)
METHODS = ("hoeffding", "empirical_bernstein", "betting")


class LinearPosterior(BijectivePosterior):
    def __init__(self, theta_map, mean):
        self.mean_ = mean
        super().__init__(theta_map, len(mean))

    def _normalize(self, v):
        columns = (v - self.mean_).unsqueeze(-1)
        noise = torch.linalg.solve_triangular(FACTOR, columns, upper=False).squeeze(-1)
        return noise, -FACTOR.diagonal().log().sum().expand(noise.shape[:-1])

    def _generate(self, noise):
        return self.mean_ + noise @ FACTOR.T


class LinearGaussian(Estimator):
    """N(A x, F F^T)."""

    def __init__(self):
        super().__init__(2, 3, constraints.real_vector)
        self.double().eval()

    def forward(self, x):
        return LinearPosterior(self.theta_map, x @ MATRIX.T)


class Bounds(NamedTuple):
    lower: torch.Tensor
    upper: torch.Tensor


def vertices(ball):
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)), dtype=torch.float64)
    return signs * ball.radius


def vertex_bounds(estimator, theta, x, ball):
    """Exact lower bound for linf: log q is concave in x', its minimum lies at a vertex."""
    values = torch.stack([estimator(x + delta).log_prob(theta) for delta in vertices(ball)])
    return Bounds(values.amin(0), torch.full_like(values[0], torch.inf))


def two_point_bounds(estimator, theta, x, ball):
    """Exact lower bound over the set {x, x + radius}."""
    here, there = (estimator(x + step).log_prob(theta) for step in (0.0, ball.radius))
    return Bounds(torch.minimum(here, there), torch.full_like(here, torch.inf))


def lying_bounds(estimator, theta, x, ball):
    value = estimator(x).log_prob(theta) + 0.01
    return Bounds(value, value)


def nan_bounds(estimator, theta, x, ball):
    value = torch.full(theta.shape[:-1], math.nan, dtype=torch.float64)
    return Bounds(value, value)


@pytest.fixture
def register(monkeypatch):
    def with_rule(rule):
        monkeypatch.setitem(
            registry.REGISTRY["estimator"], "stand_in", f"{__name__}:LinearGaussian"
        )
        monkeypatch.setitem(
            registry.REGISTRY["estimator_bounds"], "stand_in", f"{__name__}:{rule.__name__}"
        )

    return with_rule


def spec(**changes):
    return Spec(perturbation=GRID, **({"draws": 2_000, "comparison_draws": 200} | changes))


def ball_of(radius):
    return Ball("linf", torch.full((3,), radius, dtype=torch.float64))


def total_variation(delta):
    """TV between Gaussians of one covariance: 2 Phi(|F^-1 A delta| / 2) - 1."""
    moved = torch.linalg.solve_triangular(FACTOR, (delta @ MATRIX.T).mT, upper=False)
    return 2 * Normal(0.0, 1.0).cdf(torch.linalg.vector_norm(moved, dim=0) / 2) - 1


def drawn(model, x, n, *name):
    """n thetas per observation, all rows in one pass: for many repetitions of one observation."""
    theta = model(x).draw(n, generator("drawn", *name))
    return PosteriorDraws(model, x, theta, model(x).log_prob(theta))


def observations(n, *name):
    return torch.randn(n, 3, generator=generator("x", *name), dtype=torch.float64)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("radius", [0.0, 0.02, 0.1, 0.5])
def test_certified_is_at_least_the_true_worst_case(register, method, radius):
    register(vertex_bounds)
    certificate = PosteriorShift(spec(interval=method))
    prepared = certificate.prepare(LinearGaussian(), observations(20), None, seed=1)
    result = certificate.certify(prepared, ball_of(radius))
    truth = total_variation(vertices(ball_of(radius))).max()
    assert (result.upper >= truth).all()
    assert (result.mean >= truth - 0.05).all()
    assert result.confidence == 0.999


def test_one_worst_case_per_theta_has_its_closed_form(register):
    """Along one feature, E[(1 - exp(L - log q))+] = 2 Phi(r) - 1, r the shift in units of std."""
    register(vertex_bounds)
    radius = torch.tensor([0.2, 0.0, 0.0], dtype=torch.float64)
    certificate = PosteriorShift(spec(draws=40_000))
    prepared = certificate.prepare(LinearGaussian(), observations(4), None, seed=2)
    result = certificate.certify(prepared, Ball("linf", radius))
    moved = torch.linalg.solve_triangular(FACTOR, (MATRIX * radius)[:, :1], upper=False).norm()
    expected = 2 * Normal(0.0, 1.0).cdf(moved) - 1
    torch.testing.assert_close(result.mean, expected.expand(4), rtol=0, atol=0.006)
    expected_kl = moved.square() / 2 + moved * math.sqrt(2 / math.pi)
    error = (result.kl_estimate.mean - expected_kl).abs()
    assert (error <= 5 * result.kl_estimate.standard_error).all()


@pytest.mark.parametrize("method", METHODS)
def test_upper_misses_a_known_total_variation_no_more_often_than_stated(register, method):
    register(two_point_bounds)
    repetitions, alpha = 2_000, 0.05
    radius = torch.tensor([0.3, 0.1, -0.2], dtype=torch.float64)
    certificate = PosteriorShift(spec(draws=200, confidence=1 - alpha, interval=method))
    x = observations(1).expand(repetitions, 3)
    prepared = certificate.prepare(LinearGaussian(), x, None, seed=3)
    result = certificate.certify(prepared, Ball("linf", radius))
    truth = total_variation(radius.unsqueeze(0)).item()
    assert 0.1 < truth < 0.5
    torch.testing.assert_close(result.mean.mean().item(), truth, rtol=0, atol=0.005)
    missed = (result.upper < truth).double().mean().item()
    assert missed <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / repetitions)


@pytest.mark.parametrize("method", METHODS)
def test_refutation_is_wrong_no_more_often_than_stated(register, method):
    """With tau equal to the truth, every `refuted` is an error."""
    register(two_point_bounds)
    repetitions, alpha = 2_000, 0.05
    radius = torch.tensor([0.3, 0.1, -0.2], dtype=torch.float64)
    truth = total_variation(radius.unsqueeze(0)).item()
    certificate = PosteriorShift(
        spec(draws=200, confidence=1 - alpha, interval=method, tau=truth, comparison_draws=200)
    )
    x = observations(1).expand(repetitions, 3)
    prepared = certificate.prepare(LinearGaussian(), x, None, seed=4)
    ball = Ball("linf", radius.abs())
    result = certificate.certify(prepared, Ball("linf", radius))
    result = certificate.refute(prepared, result, x + radius, ball)
    wrong = result.refuted.double().mean().item()
    assert wrong <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / repetitions)
    torch.testing.assert_close(result.lower, result.comparison)


def test_verdicts_follow_tau(register):
    register(vertex_bounds)
    x = observations(3)
    for tau, radius, expected in [(0.2, 0.02, "certified"), (0.2, 0.15, "unknown")]:
        certificate = PosteriorShift(spec(tau=tau))
        prepared = certificate.prepare(LinearGaussian(), x, None, seed=5)
        result = certificate.certify(prepared, ball_of(radius))
        assert set(result.verdict) == {expected}
    corner = x + vertices(ball_of(1.0))[5]
    result = certificate.certify(prepared, ball_of(1.0))
    assert set(certificate.refute(prepared, result, corner, ball_of(1.0)).verdict) == {"refuted"}


def test_a_rule_that_lies_is_caught(register):
    register(lying_bounds)
    certificate = PosteriorShift(spec())
    prepared = certificate.prepare(LinearGaussian(), observations(2), None, seed=6)
    with pytest.raises(UnsoundBoundError, match="exceeds log q"):
        certificate.certify(prepared, ball_of(0.1))


def test_a_rule_without_answer_is_vacuous(register):
    register(nan_bounds)
    certificate = PosteriorShift(spec(tau=0.99))
    prepared = certificate.prepare(LinearGaussian(), observations(2), None, seed=6)
    result = certificate.certify(prepared, ball_of(0.1))
    assert (result.upper == 1).all()
    assert (result.kl_estimate.mean == torch.inf).all()
    assert result.verdict == (Verdict.UNKNOWN, Verdict.UNKNOWN)


@pytest.fixture
def gaussian_estimator():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        estimator = GaussianEstimator(Gaussian(hidden=(16,)), 3, 4, constraints.real_vector)
    return estimator.double().eval()


def forward_kl(estimator, x, attacked):
    return kl_divergence(estimator(x).latent, estimator(attacked).latent)


@torch.no_grad()
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_certified_kl_of_a_gaussian_head_encloses_the_exact_one(gaussian_estimator, norm):
    source = generator("kl", norm)
    x = torch.randn(10, 4, generator=source, dtype=torch.float64)
    ball = Ball(norm, torch.full((4,), 0.1, dtype=torch.float64))
    certificate = PosteriorShift(spec(draws=1_000))
    prepared = certificate.prepare(gaussian_estimator, x, None, seed=7)
    result = certificate.certify(prepared, ball)
    worst = torch.zeros(10, dtype=torch.float64)
    for _ in range(1_000):
        attacked = ball.project(x, x + 10 * (ball.sample(x, source) - x))
        worst = torch.maximum(worst, forward_kl(gaussian_estimator, x, attacked))
    assert (worst <= result.kl_bound).all()
    assert (result.kl_bound <= 100 * worst).all()


def test_certified_kl_of_a_gaussian_head_is_zero_at_radius_zero(gaussian_estimator):
    x = torch.randn(5, 4, generator=generator("kl zero"), dtype=torch.float64)
    certificate = PosteriorShift(spec())
    prepared = certificate.prepare(gaussian_estimator, x, None, seed=8)
    result = certificate.certify(prepared, Ball("linf", torch.zeros(4, dtype=torch.float64)))
    torch.testing.assert_close(result.kl_bound, torch.zeros(5).double(), rtol=0, atol=1e-10)
