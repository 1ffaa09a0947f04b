"""Closed-form bounds of the shift of Gaussians and mixtures: sound, exact at 0, attained."""

import math

import pytest
import torch
from torch.distributions import constraints, kl_divergence

from certibayes import registry
from certibayes.config.models import Gaussian, Mixture
from certibayes.estimators.gaussian import GaussianEstimator
from certibayes.estimators.gaussian_shift_bounds import head_shift as gaussian_shift
from certibayes.estimators.mixture import MixtureEstimator
from certibayes.estimators.mixture_bounds import forward_kl_upper
from certibayes.estimators.mixture_shift_bounds import head_shift as mixture_shift
from certibayes.seeding import generator
from certibayes.threat import Ball

REAL = constraints.independent(constraints.real, 1)
SMALL, LARGE = 0.05, 0.5
X_DIM, BATCH, POINTS = 3, 2, 10_000
NORMS = pytest.mark.parametrize("norm", ["l2", "linf"])
EPSILONS = pytest.mark.parametrize("epsilon", [SMALL, LARGE])
SQUASH = pytest.mark.parametrize("squash", [False, True], ids=["plain", "squash"])


def ball_of(norm, epsilon, clip=None):
    return Ball(norm, epsilon * torch.tensor([1.0, 0.5, 2.0]).double(), clip)


def observations(theta_dim=1):
    return torch.randn(BATCH, X_DIM, generator=generator("x", theta_dim)).double()


def with_weights(build, spec, theta_dim):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        estimator = build(spec, theta_dim, X_DIM, REAL).double()
        for parameter in estimator.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return estimator.requires_grad_(False)


def gaussian_of(theta_dim, **fields):
    return with_weights(GaussianEstimator, Gaussian(hidden=(12,), **fields), theta_dim)


def mixture_of(**fields):
    return with_weights(MixtureEstimator, Mixture(hidden=(12,), components=3, **fields), 1)


def attacked(ball, x, reached, n):
    """Random points, corners and points of an ascent on what is reached, (n or fewer, batch, .)."""
    source = torch.Generator().manual_seed(9)
    inside = torch.stack([ball.sample(x, source) for _ in range(100)])
    far = torch.randn(n // 2, BATCH, X_DIM, generator=source).double() * 20 * ball.radius
    sides = torch.randint(0, 2, (n // 2, BATCH, X_DIM), generator=source).double() * 2 - 1
    rim = [ball.project(x, x + step) for step in (*far, *(20 * ball.radius * sides))]
    found = [inside, torch.stack(rim)]
    moving = inside[:20].clone()
    for step in range(40):
        moving.requires_grad_()
        (gradient,) = torch.autograd.grad(reached(moving).sum(), moving)
        ahead = [
            ball.project(x, at.detach() + 0.3 * 0.93**step * ball.steepest(slope))
            for at, slope in zip(moving, gradient, strict=True)
        ]
        moving = torch.stack(ahead)
        found.append(moving)
    return torch.cat(found)


def line_total_variation(p, q):
    """TV of one-dimensional Gaussians by the points where their densities cross."""
    (m, s), (n, t) = ((d.loc[..., 0], d.scale_tril[..., 0, 0]) for d in (p, q))
    a = 0.5 * (t**-2 - s**-2)
    b = m / s**2 - n / t**2
    c = 0.5 * (n**2 / t**2 - m**2 / s**2) + (t / s).log()
    root = (b**2 - 4 * a * c).clamp(min=0).sqrt()
    half = -0.5 * (b + torch.where(b < 0, -root, root))
    safe = torch.where(a.abs() < 1e-12, torch.full_like(a, 1e-12), a)
    one, other = half / safe, c / half

    def between(center, std):
        cdf = [0.5 * torch.erf((at - center) / (std * math.sqrt(2))) for at in (one, other)]
        return cdf[0] - cdf[1]

    return (between(m, s) - between(n, t)).abs()


@SQUASH
@NORMS
@EPSILONS
def test_no_point_beats_the_bounds_of_a_gaussian_on_a_line(norm, epsilon, squash):
    estimator, x = gaussian_of(1, squash=squash), observations()
    ball = ball_of(norm, epsilon)
    bound = gaussian_shift(estimator, x, ball)

    def pair(points):
        clean = estimator(x.expand_as(points).flatten(0, 1)).latent
        return clean, estimator(points.flatten(0, 1)).latent

    points = attacked(ball, x, lambda t: line_total_variation(*pair(t)), POINTS)
    shift = line_total_variation(*pair(points)).view(-1, BATCH).amax(0)
    kl = kl_divergence(*pair(points)).view(-1, BATCH).amax(0)
    assert (shift <= bound.total_variation + 1e-9).all()
    assert (kl <= bound.forward_kl + 1e-9).all()
    assert (shift > 0.3 * bound.total_variation).all()


@NORMS
@EPSILONS
@pytest.mark.parametrize("clip", [None, (-2.5, 2.5)])
@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_no_point_beats_the_divergence_of_gaussians(norm, epsilon, clip, covariance):
    estimator, x = gaussian_of(3, covariance=covariance), observations(3).clamp(-2, 2)
    ball = ball_of(norm, epsilon, clip)
    bound = gaussian_shift(estimator, x, ball)

    def divergence(points):
        clean = estimator(x.expand_as(points).flatten(0, 1)).latent
        return kl_divergence(clean, estimator(points.flatten(0, 1)).latent)

    reached = divergence(attacked(ball, x, divergence, POINTS)).view(-1, BATCH).amax(0)
    assert (reached <= bound.forward_kl * (1 + 1e-9) + 1e-12).all()
    other = registry.load("forward_kl_bounds", "gaussian")(estimator, x, ball)
    assert (bound.forward_kl <= other + 1e-12).all()
    if epsilon == SMALL:
        assert (bound.forward_kl < 0.5 * other).all()


@NORMS
def test_total_variation_of_gaussians_in_the_plane(norm):
    """By Monte Carlo, minus five standard errors."""
    estimator, x = gaussian_of(2), observations(2)
    ball = ball_of(norm, LARGE)
    bound = gaussian_shift(estimator, x, ball).total_variation
    theta = estimator(x).draw(20_000, generator("theta"))
    clean = estimator(x).log_prob(theta)
    for points in attacked(ball, x, lambda t: estimator(t[0]).log_prob(theta[0]), 40)[-40:]:
        terms = -torch.expm1((estimator(points).log_prob(theta) - clean).clamp(max=0))
        error = terms.std(0) / len(terms) ** 0.5
        assert (terms.mean(0) <= bound + 5 * error).all()


@NORMS
@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_attained_by_a_linear_mean(norm, covariance):
    """Fixed covariance: 2 Phi(r / 2) - 1 of the largest distance r, at a corner or eigenvector."""
    spec = Gaussian(hidden=(), covariance=covariance)
    estimator = with_weights(GaussianEstimator, spec, 4)
    estimator.head.weight[4:] = 0
    x, ball = observations(4), ball_of(norm, LARGE)
    moved = estimator.head.weight[:4] * ball.radius
    if norm == "l2":
        distance = torch.linalg.matrix_norm(moved, 2)
    else:
        corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0]).double()] * X_DIM)
        distance = (corners @ moved.T).norm(dim=-1).amax()
    bound = gaussian_shift(estimator, x, ball)
    shift = torch.erf(distance / math.sqrt(8)).expand(BATCH)
    torch.testing.assert_close(bound.total_variation, shift, rtol=1e-12, atol=0)
    kl = (distance**2 / 2).expand(BATCH)
    torch.testing.assert_close(bound.forward_kl, kl, rtol=1e-12, atol=0)


GRID = torch.linspace(-40, 40, 2_001).double()


def densities(estimator, points):
    return estimator(points).log_prob(GRID[:, None, None].expand(-1, len(points), 1))


def gap(p, q):
    return 0.5 * torch.trapezoid((p.exp() - q.exp()).abs(), GRID, dim=0)


@SQUASH
@NORMS
@EPSILONS
def test_no_point_beats_the_bounds_of_a_mixture(norm, epsilon, squash):
    estimator, x = mixture_of(squash=squash), observations()
    ball = ball_of(norm, epsilon)
    bound, intervals = mixture_shift(estimator, x, ball), forward_kl_upper(estimator, x, ball)
    clean = densities(estimator, x)

    def reached(t):
        q = densities(estimator, t.flatten(0, 1)).unflatten(1, t.shape[:2])
        return gap(clean.unsqueeze(1), q)

    for t in attacked(ball, x, reached, 200).split(50):
        q = densities(estimator, t.flatten(0, 1)).unflatten(1, t.shape[:2])
        p = clean.unsqueeze(1)
        kl = torch.trapezoid(p.exp() * (p - q), GRID, dim=0).amax(0)
        assert (gap(p, q).amax(0) <= bound.total_variation + 1e-7).all()
        assert (kl <= bound.forward_kl + 1e-7).all()
        assert (kl <= intervals + 1e-7).all()
    assert (bound.forward_kl <= intervals + 1e-12).all()


@NORMS
@pytest.mark.parametrize("components", [1, 4])
@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_zero_at_radius_zero(norm, components, covariance):
    x, ball = observations(3), ball_of(norm, 0.0)
    spec = Mixture(hidden=(12,), covariance=covariance, components=components)
    mixture = with_weights(MixtureEstimator, spec, 3)
    for bound in (
        gaussian_shift(gaussian_of(3, covariance=covariance), x, ball),
        mixture_shift(mixture, x, ball),
    ):
        assert bound.total_variation.max() < 1e-12
        assert bound.forward_kl.max() < 1e-12


def test_one_component_is_a_gaussian():
    gaussian = gaussian_of(2, covariance="diagonal")
    mixture = with_weights(MixtureEstimator, Mixture(hidden=(12,), components=1), 2)
    mixture.trunk.load_state_dict(gaussian.trunk.state_dict())
    mixture.head.weight[1:] = gaussian.head.weight
    mixture.head.bias[1:] = gaussian.head.bias
    x, ball = observations(2), ball_of("linf", SMALL)
    one, other = mixture_shift(mixture, x, ball), gaussian_shift(gaussian, x, ball)
    torch.testing.assert_close(one.total_variation, other.total_variation)
    torch.testing.assert_close(one.forward_kl, other.forward_kl)


def test_ensembles_have_the_means_of_their_members():
    members = [gaussian_of(2), gaussian_of(2)]
    members[1].head.weight *= 0.5
    ensemble = registry.load("estimator", "ensemble")(members)
    x, ball = observations(2), ball_of("l2", SMALL)
    whole = registry.load("head_shift_bounds", "ensemble")(ensemble, x, ball)
    parts = [gaussian_shift(member, x, ball) for member in members]
    torch.testing.assert_close(whole.forward_kl, (parts[0].forward_kl + parts[1].forward_kl) / 2)
    mean = (parts[0].total_variation + parts[1].total_variation) / 2
    assert (whole.total_variation <= mean + 1e-12).all()
