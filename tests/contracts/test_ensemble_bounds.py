"""Bounds of ensembles of mixtures and flows: no perturbed observation escapes them."""

import pytest
import torch
from estimator_zoo import ENSEMBLES, POSITIVE, estimator_of

from certibayes import registry
from certibayes.bounds.graph import Input
from certibayes.bounds.linear import lower_form
from certibayes.estimators.bounded_density import standardized_ball
from certibayes.seeding import generator
from certibayes.threat import Ball

SIZES = {
    "ensemble-mixture": {"hidden": (10,), "components": 2},
    "ensemble-maf": {"transforms": 2, "hidden": 10},
    "ensemble-nsf": {"transforms": 1, "hidden": 8, "bins": 4},
}
BATCH, X_DIM, DRAWS, POINTS = 3, 4, 2, 10_000


def case(name, norm, factor):
    model = estimator_of(name, support=POSITIVE, gain=0.5, **SIZES[name]).eval()
    x = model.x_location + torch.randn(BATCH, X_DIM, generator=generator("x", name)).double()
    theta = model(x).draw(DRAWS, generator("theta"))
    ball = Ball(norm, factor * torch.tensor([1.0, 0.5, 2.0, 0.0]).double())
    return model.requires_grad_(False), x, theta, ball


def ends(model, x, theta, ball):
    """Lower and upper bounds of log q(theta | x'), by intervals and by planes."""
    bounds = registry.load("estimator_bounds", "ensemble")(model, theta, x, ball)
    yield bounds.lower, bounds.upper
    graph = registry.load("log_density_graph", "ensemble")
    for tightening in (False, True):
        node = graph(model, theta, Input(standardized_ball(model, x, ball), tightening))
        one = torch.ones_like(bounds.lower)
        yield lower_form(node, one).minimum(), -lower_form(node, -one).minimum()


def visited(model, x, theta, ball, starts=20, steps=15):
    """Random points, corners, and points that raise or lower the log density, (n, batch, d)."""
    source = generator("points")
    inside = ball.sample(x.repeat(POINTS, 1), source)
    center = x.repeat(POINTS, 1)
    signs = torch.randint(0, 2, inside.shape, generator=source).double() * 2 - 1
    found = [inside, ball.project(center, center + 20 * signs * ball.radius)]
    start = x.repeat(starts, 1)
    for sign in (1.0, -1.0):
        attacked = ball.sample(start, source)
        for step in range(steps):
            attacked = attacked.detach().requires_grad_()
            value = model(attacked).log_prob(theta.repeat(1, starts, 1))
            (gradient,) = torch.autograd.grad(sign * value.sum(), attacked)
            move = 0.85**step * ball.steepest(gradient)
            attacked = ball.project(start, attacked.detach() + move)
            found.append(attacked.detach())
    return torch.cat(found).view(-1, BATCH, X_DIM)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("factor", [0.02, 0.2])
@pytest.mark.parametrize("name", ENSEMBLES)
def test_no_point_escapes_the_bounds_of_an_ensemble(name, norm, factor):
    model, x, theta, ball = case(name, norm, factor)
    low, high = (torch.stack(end) for end in zip(*ends(model, x, theta, ball), strict=True))
    for points in visited(model, x, theta, ball).split(2_000):
        many = theta.repeat(1, len(points), 1)
        value = model(points.flatten(0, 1)).log_prob(many).view(DRAWS, len(points), BATCH)
        slack = 1e-8 * (1 + value.abs())
        for lower, upper in zip(low, high, strict=True):
            assert (lower.unsqueeze(1) <= value + slack).all()
            assert (value <= upper.unsqueeze(1) + slack).all()


@pytest.mark.parametrize("name", ENSEMBLES)
def test_bounds_of_an_ensemble_are_exact_at_radius_zero(name):
    model, x, theta, ball = case(name, "linf", 0.0)
    value = model(x).log_prob(theta)
    for lower, upper in ends(model, x, theta, ball):
        torch.testing.assert_close(lower, value, rtol=0, atol=1e-8)
        torch.testing.assert_close(upper, value, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", ENSEMBLES)
def test_the_zoo_builds_the_members_that_the_name_says(name):
    model = estimator_of(name, **SIZES[name])
    assert {member.kind for member in model.estimators} == {name.partition("-")[2]}
