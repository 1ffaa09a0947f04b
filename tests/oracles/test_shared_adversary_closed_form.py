"""One adversary for all draws, against Gaussians whose worst-case total variation is known."""

import math

import pytest
import torch
from test_posterior_shift_closed_form import (
    FACTOR,
    MATRIX,
    LinearGaussian,
    ball_of,
    drawn,
    observations,
    spec,
    total_variation,
    vertices,
)
from torch.distributions import Normal, constraints

from certibayes import registry
from certibayes.bounds.affine import affine
from certibayes.bounds.nodes import Affine, Shifted
from certibayes.certificates.base import UnsoundBoundError
from certibayes.certificates.confidence import split_confidence
from certibayes.certificates.majorant import curvature, mean_upper_bound
from certibayes.certificates.posterior_shift import PosteriorShift
from certibayes.config.models import MAF
from certibayes.estimators.density_nodes import normal_log_density_node
from certibayes.estimators.maf import MAFEstimator
from certibayes.metrics.intervals.select import mean_upper
from certibayes.metrics.total_variation import total_variation_terms
from certibayes.seeding import generator
from certibayes.threat import Ball

METHODS = ("hoeffding", "empirical_bernstein")


def linear_gaussian_graph(estimator, theta, standardized):
    """log q = -|F^-1 (theta - A x')|^2 / 2 + constant."""
    weight = -torch.linalg.solve_triangular(FACTOR, MATRIX, upper=False)
    moved = torch.linalg.solve_triangular(FACTOR, theta.unsqueeze(-1), upper=False).squeeze(-1)
    region = affine(standardized.region, weight, None)
    noise = Affine(standardized, region, lambda a: a @ weight, None)
    constant = -FACTOR.diagonal().log().sum()
    return normal_log_density_node(Shifted(noise, moved), constant=constant)


def lying_graph(estimator, theta, standardized):
    return Shifted(linear_gaussian_graph(estimator, theta, standardized), torch.tensor(1.0))


def partly_broken_graph(estimator, theta, standardized):
    """About one draw in a hundred has no bound at all."""
    broken = (theta[..., 0] * 1e4).floor() % 100 == 0
    node = linear_gaussian_graph(estimator, theta, standardized)
    return Shifted(node, torch.where(broken, -torch.inf, 0.0).double())


@pytest.fixture
def register(monkeypatch):
    def with_graph(graph):
        names = registry.REGISTRY
        own = "test_posterior_shift_closed_form:LinearGaussian"
        monkeypatch.setitem(names["estimator"], "stand_in", own)
        place = f"{__name__}:{graph.__name__}"
        monkeypatch.setitem(names["log_density_graph"], "stand_in", place)

    return with_graph


def certified(register, x, ball, seed=1, graph=linear_gaussian_graph, **changes):
    register(graph)
    certificate = PosteriorShift(spec(**({"bounds": "crown"} | changes)))
    prepared = certificate.prepare(LinearGaussian(), x, None, seed=seed)
    return certificate, prepared, certificate.certify(prepared, ball)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("radius", [0.02, 0.1, 0.3])
def test_certified_is_above_the_true_worst_case_and_near_it(register, method, radius):
    """One worst case per theta would cost a factor of two and more."""
    _, _, result = certified(
        register, observations(20), ball_of(radius), interval=method, draws=10_000
    )
    truth = float(total_variation(vertices(ball_of(radius))).max())
    assert (result.upper >= truth).all()
    assert (result.mean >= truth - 0.01).all()
    assert float(result.mean.median()) <= 1.6 * truth
    assert (result.upper >= result.mean).all()


def test_along_one_feature_the_gap_is_that_of_cauchy_and_schwarz(register):
    """With a shift of r standard deviations y ~ N(r^2 / 2, r^2): sqrt(E y^2) / 2 instead of TV."""
    radius = torch.tensor([0.1, 0.0, 0.0], dtype=torch.float64)
    _, _, result = certified(register, observations(4), Ball("linf", radius), draws=40_000)
    shift = float(torch.linalg.solve_triangular(FACTOR, MATRIX[:, :1] * 0.1, upper=False).norm())
    truth = 2 * float(Normal(0.0, 1.0).cdf(torch.tensor(shift / 2))) - 1
    assert truth <= float(result.mean.min())
    assert float(result.mean.max()) <= 1.35 * truth + 0.01


def test_the_estimated_kl_bound_encloses_the_exact_worst_kl(register):
    """Exact: |F^-1 A delta|^2 / 2 at a vertex; the linear bound loses a term of second order."""
    _, _, result = certified(register, observations(10), ball_of(0.1), draws=4_000)
    moved = torch.linalg.solve_triangular(
        FACTOR, (vertices(ball_of(0.1)) @ MATRIX.T).mT, upper=False
    )
    exact = float(moved.square().sum(0).max() / 2)
    error = result.kl_estimate.standard_error
    assert (result.kl_estimate.mean + 4 * error >= exact).all()
    assert (result.kl_estimate.mean <= 4 * exact + 4 * error).all()


@pytest.mark.parametrize("method", METHODS)
def test_upper_misses_the_true_worst_case_no_more_often_than_stated(register, method):
    """So few draws, and x' on one side only, that without its width the bound often fails."""
    repetitions, alpha = 2_000, 0.05
    allowed = alpha + 3 * math.sqrt(alpha * (1 - alpha) / repetitions)
    radius = torch.tensor([0.3, 0.0, 0.0], dtype=torch.float64)
    ball = Ball("linf", radius, clip=(-2.0, 1.0))
    x = torch.tensor([[1.0, 0.2, -0.4]], dtype=torch.float64).expand(repetitions, 3)
    model = LinearGaussian()
    register(linear_gaussian_graph)
    few = {"draws": 6, "comparison_draws": 2, "confidence": 1 - alpha, "interval": method}
    result = PosteriorShift(spec(bounds="crown", **few)).certify(drawn(model, x, 6, method), ball)
    truth = float(total_variation(-radius.unsqueeze(0)))
    assert float((result.upper < truth).double().mean()) <= allowed
    assert float((result.mean < truth).double().mean()) > allowed


@pytest.mark.parametrize("method", METHODS)
def test_upper_is_no_tighter_than_the_terms_at_any_point_allow(register, method):
    """At the worst point, whichever it is, an interval of the mean of the terms is due."""
    ball, alpha, draws = ball_of(0.1), 0.05, 400
    x = observations(6)
    _, prepared, result = certified(
        register, x, ball, draws=draws, confidence=1 - alpha, interval=method
    )
    for delta in vertices(ball):
        attacked = prepared.model(x + delta).log_prob(prepared.theta)
        terms = total_variation_terms(prepared.log_prob, attacked)
        assert (result.upper >= mean_upper(method, terms, alpha) - 1e-12).all()
    assert (result.upper < 1).all()
    if method == "hoeffding":
        width = torch.full_like(result.mean, math.sqrt(math.log(1 / alpha) / (2 * draws)))
        torch.testing.assert_close(result.upper - result.mean, width)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_no_observation_of_the_ball_exceeds_the_bound_on_the_same_draws(register, norm):
    ball = Ball(norm, torch.tensor([0.3, 0.1, 0.2], dtype=torch.float64))
    x = observations(4)
    certificate, prepared, result = certified(register, x, ball)
    source = generator("points", norm)
    for _ in range(300):
        attacked = ball.project(x, x + 10 * (ball.sample(x, source) - x))
        confronted = certificate.refute(prepared, result, attacked, ball)
        assert (confronted.lower <= result.comparison + 1e-9).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_draw_without_a_bound_counts_for_itself_only(register, method):
    x, ball = observations(5), ball_of(0.1)
    changes = {"interval": method, "draws": 3_000, "comparison_draws": 500}
    whole = certified(register, x, ball, **changes)[2]
    certificate, prepared, result = certified(
        register, x, ball, graph=partly_broken_graph, **changes
    )
    truth = float(total_variation(vertices(ball)).max())
    assert (result.upper >= truth).all()
    assert (result.mean > whole.mean).all()
    assert (result.mean <= whole.mean + 0.03).all()
    assert (result.upper <= whole.upper + 0.06).all()
    assert (result.kl_estimate.mean == torch.inf).all()
    for vertex in vertices(ball):
        confronted = certificate.refute(prepared, result, x + vertex, ball)
        assert (confronted.lower <= result.comparison + 1e-9).all()


def test_a_graph_that_lies_is_caught(register):
    with pytest.raises(UnsoundBoundError, match="exceeds log q"):
        certified(register, observations(2), ball_of(0.1), graph=lying_graph)


def test_parabolas_lie_above_the_integrand_and_touch_it():
    offset = torch.tensor([1e-9, 1e-4, 0.01, 0.3, 2.0, 16.0], dtype=torch.float64).unsqueeze(-1)
    y = torch.cat((torch.linspace(-3, 60, 20_001), torch.logspace(-12, 1, 5_001))).double()
    integrand = (-torch.expm1(-y)).clamp(min=0)
    parabola = curvature(offset) * (y + offset).square()
    assert (parabola >= integrand * (1 - 1e-9)).all()
    touching = ((parabola - integrand) / integrand.clamp(min=1e-300))[:, y > 0].amin(1)
    assert (touching <= 1e-3).all()


def test_the_bound_of_the_mean_holds_for_any_numbers_and_is_at_most_pinskers_kind():
    source = generator("numbers")
    for scale in (1e-6, 1e-2, 0.3, 3.0):
        y = scale * torch.randn(1_000, 50, generator=source, dtype=torch.float64)
        y = y + scale**2 / 2
        mean = (-torch.expm1(-y)).clamp(min=0).mean(0)
        first, second = y.mean(0), y.square().mean(0)
        bound = mean_upper_bound(first, second)
        assert (bound >= mean).all()
        assert (bound <= 0.53 * (first + second.sqrt())).all()
    infinite = torch.tensor([torch.inf], dtype=torch.float64)
    assert mean_upper_bound(infinite, infinite).item() == 1.0
    zero = torch.zeros(1, dtype=torch.float64)
    assert mean_upper_bound(zero, zero).item() == 0.0


def test_linear_certificates_of_a_flow_are_tighter_than_intervals():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MAFEstimator(MAF(transforms=2, hidden=16), 3, 4, constraints.real_vector)
    model = model.double().eval()
    x = torch.randn(6, 4, generator=generator("flow"), dtype=torch.float64)
    ball = Ball("linf", torch.full((4,), 0.05, dtype=torch.float64))
    found = {}
    for bounds in ("interval", "crown_ibp", "crown"):
        certificate = PosteriorShift(spec(bounds=bounds))
        found[bounds] = certificate.certify(certificate.prepare(model, x, None, seed=1), ball)
    assert (found["crown"].upper < found["interval"].upper).all()
    assert (found["crown"].mean <= found["crown_ibp"].mean + 1e-12).double().mean() > 0.8


@pytest.mark.parametrize("route", ["truncated_kl", "best"])
def test_other_routes_are_sound_too_and_near_the_truth(register, route):
    x, ball = observations(10), ball_of(0.1)
    truth = float(total_variation(vertices(ball)).max())
    changes = {"route": route, "draws": 10_000, "pilot_draws": 300}
    _, prepared, result = certified(register, x, ball, **changes)
    assert (result.upper >= truth).all()
    assert (result.upper >= result.mean).all()
    assert float(result.upper.median()) <= 1.7 * truth
    assert prepared.pilot is not None
    assert not torch.isin(prepared.pilot.theta, prepared.theta).any()


def test_the_best_route_is_the_smaller_of_both_with_half_of_what_confidence_leaves(register):
    x, ball, alpha = observations(6), ball_of(0.1), 0.05
    common = {"draws": 2_000, "pilot_draws": 100}
    _, _, best = certified(register, x, ball, route="best", confidence=1 - alpha, **common)
    each = split_confidence(1 - alpha, 2)
    one, other = (
        certified(register, x, ball, route=route, confidence=each, **common)[2].upper
        for route in ("direct", "truncated_kl")
    )
    assert torch.equal(best.upper, torch.minimum(one, other))
    assert (one < 1).all()
    assert (other < 1).all()


def test_routes_need_planes():
    with pytest.raises(ValueError, match="route: got 'best'; allowed with bounds 'interval'"):
        spec(route="best")


def test_betting_is_refused():
    with pytest.raises(ValueError, match="interval: got 'betting'"):
        spec(bounds="crown", interval="betting")
