"""Soundness of every bound: no point of the ball escapes, radius 0 is exact."""

import itertools

import pytest
import torch
from estimator_zoo import BOUNDED, POSITIVE, estimator_of
from torch import nn

from certibayes import registry
from certibayes.bounds import BallAround, interval_bounds, last_layer_folded
from certibayes.seeding import generator
from certibayes.threat import Ball

POINTS = 50_000
TOLERANCE = 1e-9
NORMS = pytest.mark.parametrize("norm", ["linf", "l2"])
CLIPS = pytest.mark.parametrize("clip", [None, (-1.0, 1.0)], ids=["free", "clip"])

MODULES = {
    "linear": lambda: nn.Sequential(nn.Linear(6, 3)),
    "identity": lambda: nn.Sequential(nn.Identity(), nn.Linear(6, 3, bias=False)),
    "relu": lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)),
    "leaky": lambda: nn.Sequential(nn.Linear(6, 16), nn.LeakyReLU(0.1), nn.Linear(16, 3)),
    "tanh": lambda: nn.Sequential(nn.Tanh(), nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3)),
    "sigmoid": lambda: nn.Sequential(nn.Linear(6, 16), nn.Sigmoid(), nn.Linear(16, 3)),
    "softplus": lambda: nn.Sequential(nn.Linear(6, 16), nn.Softplus(), nn.Linear(16, 3)),
    "deep": lambda: nn.Sequential(
        nn.Sequential(nn.Linear(6, 16), nn.ReLU()), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)
    ),
    "conv": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)),
        nn.Conv2d(1, 3, 2, stride=(1, 2), padding=1),
        nn.ReLU(),
        nn.Conv2d(3, 4, 3, padding=(1, 2), bias=False),
        nn.Flatten(),
        nn.Linear(48, 3),
    ),
}


def seeded_ball(norm, clip, features, scale=0.3):
    radius = scale * torch.rand(features, generator=generator("radius")).double()
    radius[0] = 0
    return Ball(norm, radius, clip)


def seeded_x(n, features, clip):
    x = torch.randn(n, features, generator=generator("x")).double()
    return x if clip is None else x.clamp(*clip)


def corners(ball, x):
    """Sign corners and both ends of every axis, projected into the ball; (points, batch, d)."""
    d = x.shape[-1]
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=d))).double()
    directions = torch.cat((signs, torch.eye(d), -torch.eye(d)))
    return torch.stack([ball.project(x, x + ball.radius * direction) for direction in directions])


def random_points(ball, x, n):
    repeated = x.repeat(n, 1)
    return ball.sample(repeated, generator("points")).view(n, *x.shape)


def ascend(value, ball, x, steps=40, starts=16):
    """Maximise value(x') of shape (rows,) by projected gradient ascent; (starts, batch, d)."""
    center = x.repeat(starts, 1)
    found = ball.sample(center, generator("starts"))
    for step in range(steps):
        found.requires_grad_()
        (gradient,) = torch.autograd.grad(value(found).sum(), found)
        rate = 0.5 * (1 - step / steps)
        found = ball.project(center, found.detach() + rate * ball.steepest(gradient))
    return found.view(starts, *x.shape)


def candidates(value, ball, x, points=POINTS):
    """Random points, corners, and points that maximise and minimise `value`."""
    found = [ascend(lambda t, sign=sign: sign * value(t), ball, x) for sign in (1, -1)]
    return torch.cat((random_points(ball, x, points), corners(ball, x), *found))


def assert_inside(bounds, values, tolerance=TOLERANCE):
    slack = tolerance * (1 + values.abs())
    escaped = (values < bounds.lower - slack) | (values > bounds.upper + slack)
    assert not escaped.any(), f"{int(escaped.sum())} of {escaped.numel()} points escape"


@pytest.mark.parametrize("name", MODULES)
@NORMS
@CLIPS
def test_no_point_escapes_the_bounds_of_a_module(name, norm, clip):
    torch.manual_seed(0)
    module = MODULES[name]().double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(2)
    x, ball = seeded_x(2, 6, clip), seeded_ball(norm, clip, 6)
    images = x
    bounded = module
    if isinstance(module[0], nn.Unflatten):
        bounded, images = module[1:], module[0](x)
    bounds = interval_bounds(bounded, BallAround(images, ball))
    bounds.require_ordered()
    for output in range(3):
        points = candidates(lambda t, i=output: module(t)[:, i], ball, x)
        with torch.no_grad():
            assert_inside(bounds, module(points.flatten(0, 1)).view(*points.shape[:2], 3))
    exact = interval_bounds(bounded, BallAround(images, ball.scaled(0.0)))
    for end in (exact.lower, exact.upper):
        torch.testing.assert_close(end, module(x), atol=1e-12, rtol=0)


@NORMS
def test_bounds_of_one_affine_layer_are_attained(norm):
    layer = nn.Linear(6, 4).double()
    x, ball = seeded_x(3, 6, None), seeded_ball(norm, None, 6)
    bounds = interval_bounds(layer, BallAround(x, ball))
    for output in range(4):
        worst = ball.project(x, x + ball.steepest(layer.weight[output].expand(3, 6)))
        torch.testing.assert_close(layer(worst)[:, output], bounds.upper[:, output])


@NORMS
@CLIPS
def test_folding_the_last_layer_is_sound_and_never_looser(norm, clip):
    torch.manual_seed(0)
    module = MODULES["deep"]().double()
    x, ball = seeded_x(2, 6, clip), seeded_ball(norm, clip, 6)
    coefficients = torch.tensor([[1.0, -1.0, 0.0], [0.5, 2.0, -3.0]]).double()
    folded = last_layer_folded(module, coefficients, BallAround(x, ball))
    apart = interval_bounds(module, BallAround(x, ball))
    center, radius = apart.center @ coefficients.T, apart.radius @ coefficients.abs().T
    assert (folded.upper <= center + radius + 1e-12).all()
    assert (folded.width < 0.95 * 2 * radius).any()
    per_example = coefficients.expand(2, 2, 3) * torch.tensor([1.0, -2.0]).view(2, 1, 1)
    per_draw = torch.stack((coefficients.expand(2, 2, 3), per_example))
    both = last_layer_folded(module, per_draw, BallAround(x, ball))
    torch.testing.assert_close(both.upper[0], folded.upper)
    torch.testing.assert_close(both.upper[1, 1], -2 * folded.lower[1])
    points = random_points(ball, x, POINTS)
    with torch.no_grad():
        assert_inside(folded, module(points) @ coefficients.T)


@pytest.mark.parametrize("kind", BOUNDED)
@NORMS
@CLIPS
@pytest.mark.parametrize("squash", [False, True], ids=["plain", "squash"])
@pytest.mark.parametrize("gain", [0.1, 3.0], ids=["small", "large"])
def test_no_point_escapes_the_bounds_of_a_log_density(kind, norm, clip, squash, gain):
    flow = kind in ("maf", "nsf")
    fields = {"hidden": 12, "transforms": 2} if flow else {"hidden": (12, 12)}
    estimator = estimator_of(kind, support=POSITIVE, squash=squash, gain=gain, **fields)
    estimator.requires_grad_(False)
    log_density_bounds = registry.load("estimator_bounds", estimator.kind)
    x, ball = seeded_x(2, 4, clip), seeded_ball(norm, clip, 4)
    theta = estimator.bijection(torch.randn(2, 3, generator=generator("theta")).double())
    bounds = log_density_bounds(estimator, theta, x, ball)
    bounds.require_ordered()

    def log_density(t):
        posterior = estimator(t)
        return posterior.log_prob(theta.repeat(len(t) // 2, 1))

    points = candidates(log_density, ball, x)
    assert_inside(bounds, log_density(points.flatten(0, 1)).view(-1, 2))
    exact = log_density_bounds(estimator, theta, x, ball.scaled(0.0))
    clean = estimator(x).log_prob(theta)
    for end in (exact.lower, exact.upper):
        torch.testing.assert_close(end, clean, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("kind", BOUNDED)
@NORMS
def test_log_density_bounds_of_many_draws_shrink_with_the_radius(kind, norm):
    estimator = estimator_of(kind, gain=0.3)
    log_density_bounds = registry.load("estimator_bounds", estimator.kind)
    x, ball = seeded_x(3, 4, None), seeded_ball(norm, None, 4)
    theta = estimator(x).draw(6, generator("theta"))
    widest = log_density_bounds(estimator, theta, x, ball)
    assert widest.lower.shape == (6, 3)
    torch.testing.assert_close(
        log_density_bounds(estimator, theta[4], x, ball).lower, widest.lower[4]
    )
    for factor in (0.5, 1e-3, 1e-6):
        tighter = log_density_bounds(estimator, theta, x, ball.scaled(factor))
        assert (tighter.lower >= widest.lower - 1e-12).all()
        assert (tighter.upper <= widest.upper + 1e-12).all()
        widest = tighter
    assert widest.width.max() < 1e-3


@pytest.mark.parametrize("kind", BOUNDED)
@NORMS
@pytest.mark.parametrize("factor", [0.0, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bounds_train(kind, norm, factor, dtype):
    estimator = estimator_of(kind, support=POSITIVE).to(dtype)
    x = seeded_x(8, 4, None).to(dtype)
    ball = seeded_ball(norm, None, 4).to(x).scaled(factor)
    theta = estimator(x).draw(1, generator("theta"))[0]
    lower = registry.load("estimator_bounds", estimator.kind)(estimator, theta, x, ball).lower
    assert lower.dtype == dtype
    lower.sum().backward()
    for parameter in estimator.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().max() > 0


@pytest.mark.parametrize("kind", BOUNDED)
def test_theta_off_the_support_has_no_density_anywhere(kind):
    estimator = estimator_of(kind, support=POSITIVE)
    x, ball = seeded_x(1, 4, None), seeded_ball("linf", None, 4)
    theta = torch.tensor([[-1.0, 1.0, 1.0]]).double()
    bounds = registry.load("estimator_bounds", estimator.kind)(estimator, theta, x, ball)
    assert bounds.lower.isneginf().all()
    assert bounds.upper.isneginf().all()


@NORMS
@CLIPS
@pytest.mark.parametrize("squash", [False, True], ids=["plain", "squash"])
def test_no_point_escapes_the_bound_of_the_gaussian_divergence(norm, clip, squash):
    estimator = estimator_of("gaussian", squash=squash, hidden=(12,), support=POSITIVE)
    estimator.requires_grad_(False)
    upper = registry.load("forward_kl_bounds", "gaussian")
    x, ball = seeded_x(2, 4, clip), seeded_ball(norm, clip, 4)

    def divergence(t):
        clean = estimator(x.repeat(len(t) // 2, 1)).latent
        return torch.distributions.kl_divergence(clean, estimator(t).latent)

    reached = divergence(candidates(divergence, ball, x).flatten(0, 1)).view(-1, 2)
    bound = upper(estimator, x, ball)
    assert (reached <= bound * (1 + TOLERANCE) + TOLERANCE).all()
    assert (bound < 1e3).all()
    torch.testing.assert_close(
        upper(estimator, x, ball.scaled(0.0)), torch.zeros(2).double(), atol=1e-10, rtol=0
    )
