"""log_density and coverage: no attack on what they bound beats them, whatever the estimator."""

from dataclasses import replace

import pytest
import torch
from estimator_zoo import POSITIVE, REAL, estimator_of
from torch import nn
from torch.distributions import constraints

from certibayes import registry
from certibayes.certificates.answers import answers, support_ends
from certibayes.certificates.base import UnsoundBoundError
from certibayes.certificates.coverage import Coverage
from certibayes.certificates.log_density import LogDensity
from certibayes.certificates.log_density_bounds import (
    lower_log_density,
    require_enclosed,
    upper_log_density,
)
from certibayes.certificates.posterior_shift import PosteriorShift
from certibayes.config.certificates import Coverage as CoverageSpec
from certibayes.config.certificates import LogDensity as LogDensitySpec
from certibayes.config.certificates import PosteriorShift as ShiftSpec
from certibayes.config.embeddings import MLPEmbedding
from certibayes.seeding import generator
from certibayes.threat import Ball

EMBEDDING = MLPEmbedding(hidden=(6,), features=3)
MODELS = {
    "gaussian": {"hidden": (12,)},
    "gaussian-diagonal": {"hidden": (12,), "squash": True},
    "mixture": {"hidden": (12,), "components": 3},
    "maf": {"transforms": 2, "hidden": 12},
    "nsf": {"transforms": 1, "hidden": 8, "bins": 4},
    "ensemble": {"hidden": (8,)},
    "ensemble-mixture": {"hidden": (8,), "components": 2},
    "ensemble-maf": {"transforms": 1, "hidden": 8},
    "ensemble-nsf": {"transforms": 1, "hidden": 6, "bins": 3},
    "embedded": {"hidden": (8,), "embedding": EMBEDDING},
}
METHODS = ("interval", "crown_ibp", "crown")
LATE = ("nsf", "ensemble-mixture", "ensemble-maf", "ensemble-nsf")
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name in LATE)) for name in MODELS]
GRID = {"norm": "linf", "unit": "raw", "epsilons": (0.1,)}
BATCH, X_DIM, DRAWS, RADIUS = 5, 4, 200, 0.02


def case(name, support=POSITIVE):
    kind = "gaussian" if name == "embedded" else name
    model = estimator_of(kind, support=support, gain=0.5, **MODELS[name]).eval()
    x = model.x_location + torch.randn(BATCH, X_DIM, generator=generator("x", name)).double()
    theta = model(x).draw(1, generator("theta", name))[0]
    return model.requires_grad_(False), x, theta


def ball_of(norm, factor=1.0):
    return Ball(norm, torch.tensor([1.0, 0.5, 2.0, 0.0]).double() * RADIUS * factor)


def ascend(x, ball, value, starts=4, steps=12):
    """Projected gradient ascent of value(x'), shape (len(x'),); yields all x' that it visits."""
    x = x.repeat(starts, 1)
    attacked = ball.sample(x, generator("ascend"))
    for step in range(steps):
        attacked = attacked.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(value(attacked).sum(), attacked)
        yield attacked.detach()
        attacked = ball.project(x, attacked.detach() + 0.85**step * ball.steepest(gradient))


def points_of(x, ball, value):
    """Random points, points of the surface and what an ascent visits, each (BATCH, X_DIM)."""
    source = generator("points")
    for repeat in range(12):
        points = ball.sample(x, source)
        yield ball.project(x, x + 10 * (points - x)) if repeat % 2 else points
    for visited in ascend(x, ball, value):
        yield from visited.split(BATCH)


def log_density(method="interval", **fields):
    return LogDensity(LogDensitySpec(perturbation=GRID, bounds=method, **fields))


def coverage(bounds="interval", **fields):
    few = {"draws": DRAWS, "comparison_draws": DRAWS // 2, "level": 0.95, "confidence": 0.99}
    return Coverage(CoverageSpec(perturbation=GRID, bounds=bounds, **few | fields))


@pytest.mark.parametrize("factor", [0.5, 10.0])
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NAMES)
def test_no_attack_beats_the_log_density(name, method, norm, factor):
    model, x, theta = case(name)
    certificate, ball = log_density(method), ball_of(norm, factor)
    prepared = certificate.prepare(model, x, theta, seed=0)
    result = certificate.certify(prepared, ball)
    assert result.confidence == 1.0
    starts = theta.repeat(4, 1)
    for sign in (1.0, -1.0):
        for points in points_of(x, ball, lambda t, s=sign: s * model(t).log_prob(starts)):
            log_prob = model(points).log_prob(theta)
            assert (result.least <= log_prob + 1e-8).all()
            assert (log_prob <= result.most + 1e-8).all()
            confronted = certificate.refute(prepared, result, points, ball)
            assert (confronted.lower <= result.upper + 1e-8).all()
            assert not (result.certified & confronted.refuted).any()


@pytest.mark.parametrize("support", [REAL, POSITIVE])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NAMES)
def test_radius_zero_is_exact(name, method, support):
    model, x, theta = case(name, support)
    certificate = log_density(method)
    prepared = certificate.prepare(model, x, theta, seed=0)
    result = certificate.certify(prepared, ball_of("linf", 0.0))
    for bound in (result.least, result.most):
        torch.testing.assert_close(bound, prepared.log_prob, rtol=0, atol=1e-8)
    assert result.certified.all()
    covered = coverage(method)
    draws = covered.prepare(model, x, theta, seed=0)
    exact = (draws.draws.log_prob[: DRAWS // 2] >= draws.log_prob).double().mean(0)
    found = covered.certify(draws, ball_of("linf", 0.0)).comparison
    torch.testing.assert_close(found, exact)


@pytest.mark.parametrize("name", NAMES)
def test_linear_bounds_are_no_wider_than_intervals(name):
    model, x, theta = case(name)
    ball = ball_of("linf")
    widths = [
        upper_log_density(m, model, theta, x, ball) - lower_log_density(m, model, theta, x, ball)
        for m in METHODS
    ]
    assert (widths[1] <= widths[0]).all()
    assert (widths[2] <= widths[0]).all()


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("bounds", [*METHODS, "closed_form"])
@pytest.mark.parametrize("name", NAMES)
def test_no_attack_beats_the_coverage(name, bounds, norm):
    """The denser draws on common draws by algebra; the mass itself on many draws at x'."""
    if bounds == "closed_form" and name.endswith(("maf", "nsf")):
        pytest.skip("no closed form")
    model, x, theta = case(name)
    certificate, ball = coverage(bounds), ball_of(norm)
    prepared = certificate.prepare(model, x, theta, seed=0)
    result = certificate.certify(prepared, ball)
    assert (result.upper < 1).any()
    starts = theta.repeat(4, 1)
    few = prepared.draws.theta[: DRAWS // 2].repeat(1, 4, 1)

    def smooth(attacked):
        q = model(attacked)
        return torch.sigmoid(20 * (q.log_prob(few) - q.log_prob(starts))).mean(0)

    for points in points_of(x, ball, smooth):
        posterior = model(points)
        denser = posterior.log_prob(prepared.draws.theta[: DRAWS // 2]) > posterior.log_prob(theta)
        assert (denser.double().mean(0) <= result.comparison).all()
    draws = posterior.draw(4_000, generator("mass"))
    mass = (posterior.log_prob(draws) > posterior.log_prob(theta)).double().mean(0)
    assert (mass <= result.upper + 0.03).all()
    confronted = certificate.refute(prepared, result, points, ball)
    assert not (result.certified & confronted.refuted).any()


def test_a_theta_outside_the_region_is_refuted_and_never_certified():
    model, x, theta = case("gaussian", REAL)
    far = theta + 50
    certificate, ball = coverage(), ball_of("linf")
    prepared = certificate.prepare(model, x, far, seed=0)
    result = certificate.certify(prepared, ball)
    assert not result.certified.any()
    assert certificate.refute(prepared, result, x, ball).refuted.all()


def test_an_attack_beyond_the_drop_refutes():
    model, x, theta = case("gaussian")
    certificate, ball = log_density(drop=1e-6), ball_of("linf", 10.0)
    prepared = certificate.prepare(model, x, theta, seed=0)
    result = certificate.certify(prepared, ball)
    for points in points_of(x, ball, lambda t: -model(t).log_prob(theta.repeat(4, 1))):
        result = certificate.refute(prepared, result, points, ball)
    assert result.refuted.all()
    torch.testing.assert_close(result.lower, result.lower.clamp(min=1e-6))


def test_a_theta_off_the_support_is_unknown():
    model, x, theta = case("gaussian")
    for method in METHODS:
        certificate = log_density(method, drop=100.0)
        prepared = certificate.prepare(model, x, -theta, seed=0)
        result = certificate.certify(prepared, ball_of("linf"))
        assert set(result.verdict) == {"unknown"}
        assert (result.upper == torch.inf).all()
        confronted = certificate.refute(prepared, result, x, ball_of("linf"))
        assert set(confronted.verdict) == {"unknown"}


def test_lies_are_caught():
    model, x, theta = case("gaussian")
    ball = ball_of("linf")
    certificate = log_density()
    prepared = certificate.prepare(model, x, theta, seed=0)
    result = certificate.certify(prepared, ball)
    with pytest.raises(UnsoundBoundError, match="outside its bounds"):
        certificate.refute(prepared, replace(result, least=result.least + 100), x, ball)
    with pytest.raises(UnsoundBoundError, match="drop"):
        certificate.refute(prepared, replace(result, upper=result.upper - 100), x, ball)
    with pytest.raises(UnsoundBoundError, match="the observation"):
        require_enclosed(result.least, prepared.log_prob, result.least - 1)
    covered = coverage()
    draws = covered.prepare(model, x, theta, seed=0)
    found = covered.certify(draws, ball)
    with pytest.raises(UnsoundBoundError, match="denser"):
        covered.refute(draws, replace(found, comparison=found.comparison - 1), x, ball)


@pytest.mark.parametrize("certificate", [log_density(), coverage()], ids=["density", "coverage"])
def test_inputs_are_checked(certificate):
    model, x, theta = case("gaussian")
    with pytest.raises(ValueError, match=r"target: got None; allowed: torch\.float64"):
        certificate.prepare(model, x, None, seed=0)
    with pytest.raises(ValueError, match="target: got"):
        certificate.prepare(model, x, theta[:, :1], seed=0)
    with pytest.raises(ValueError, match="target: got NaN"):
        certificate.prepare(model, x, theta * torch.nan, seed=0)
    with pytest.raises(ValueError, match=r"x: got torch\.float32"):
        certificate.prepare(model, x.float(), theta, seed=0)
    with pytest.raises(ValueError, match="model: got Linear"):
        certificate.prepare(nn.Linear(4, 2).double(), x, theta, seed=0)
    prepared = certificate.prepare(model, x, theta, seed=0)
    with pytest.raises(ValueError, match="outside the clip range"):
        certificate.certify(prepared, Ball("linf", ball_of("linf").radius, (100.0, 101.0)))
    result = certificate.certify(prepared, ball_of("linf"))
    with pytest.raises(ValueError, match="outside the ball"):
        certificate.refute(prepared, result, x + 1, ball_of("linf"))


@pytest.mark.parametrize("name", ["gaussian", "maf", "embedded"])
def test_no_attack_moves_the_mean_of_a_bounded_parameter_out_of_its_answer(name):
    """Means and probabilities at attacked points, on many draws, lie between their bounds."""
    ends = torch.tensor([-1.0, 0.0, 2.0]).double(), torch.tensor([1.0, 4.0, 2.5]).double()
    model, x, _ = case(name, constraints.independent(constraints.interval(*ends), 1))
    asked = {
        "means": ("a", "b", "c"),
        "regions": {"half": {"a": (-1.0, 0.0)}},
        "quantiles": {"b": (0.5,)},
    }
    spec = ShiftSpec(perturbation=GRID, draws=2_000, bounds="crown_ibp", answers=asked)
    certificate, ball = PosteriorShift(spec), ball_of("l2")
    prepared = certificate.prepare(model, x, None, seed=0)
    shift = certificate.certify(prepared, ball).upper
    assert (shift < 0.9).any()
    found = answers(spec, prepared, shift, ("a", "b", "c"))
    low, high = support_ends(prepared)
    torch.testing.assert_close(torch.stack([low, high]), torch.stack(ends))
    means = torch.stack([found[f"mean_{one}"].low for one in "abc"], -1)
    tops = torch.stack([found[f"mean_{one}"].high for one in "abc"], -1)
    assert ((low <= means) & (means < tops) & (tops <= high)).all()
    for points in ascend(
        x,
        ball,
        lambda t: (
            model(t).noise_of(model(x[:1]).draw(1, generator("one"))[0].expand(len(t), -1)).sum(-1)
        ),
        starts=1,
        steps=6,
    ):
        draws = model(points).draw(5_000, generator("attacked"))
        slack = 0.03 * (high - low)
        assert (means - slack <= draws.mean(0)).all()
        assert (draws.mean(0) <= tops + slack).all()
        share = (draws[..., 0] <= 0).double().mean(0)
        assert (found["probability_half"].low - 0.03 <= share).all()
        assert (share <= found["probability_half"].high + 0.03).all()
        below = (draws[..., 1] < found["quantile_0.5_b"].low).double().mean(0)
        above = (draws[..., 1] > found["quantile_0.5_b"].high).double().mean(0)
        assert (below <= 0.53).all()
        assert (above <= 0.53).all()


def test_both_are_registered():
    assert registry.load("certificate", "log_density") is LogDensity
    assert registry.load("certificate", "coverage") is Coverage
