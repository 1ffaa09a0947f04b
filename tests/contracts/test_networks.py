"""Every registered network: shapes, gradients, seeds, and bounds that no point escapes."""

import typing

import pytest
import torch

from certibayes import registry
from certibayes.bounds import interval_bounds
from certibayes.bounds.ball import BallAround
from certibayes.config import models
from certibayes.seeding import generator
from certibayes.threat import Ball

X_DIM, OUTPUTS = 6, 4
ANNOTATED = typing.get_args(models.AnyNetwork)
MEMBERS = typing.get_args(ANNOTATED[0]) if ANNOTATED else (models.AnyNetwork,)
SPECS = {spec.model_fields["kind"].default: spec() for spec in MEMBERS}
each_network = pytest.mark.parametrize("kind", registry.names("network"))


def build(kind):
    torch.manual_seed(0)
    return registry.load("network", kind)(SPECS[kind], X_DIM, OUTPUTS)


def inputs(n):
    return torch.rand(n, X_DIM, generator=generator("inputs"), dtype=torch.float64)


@each_network
def test_one_row_of_outputs_per_input_in_its_precision(kind):
    network = build(kind)
    assert network(inputs(5).float()).shape == (5, OUTPUTS)
    assert network.double()(inputs(5)).dtype == torch.float64


@each_network
def test_equal_seeds_build_equal_networks(kind):
    for one, other in zip(build(kind).parameters(), build(kind).parameters(), strict=True):
        assert torch.equal(one, other)


@each_network
def test_gradients_reach_the_input_and_every_weight(kind):
    network, x = build(kind).double(), inputs(64).requires_grad_()
    network(x).square().sum().backward()
    for value in (x, *network.parameters()):
        assert value.grad.isfinite().all()
        assert value.grad.abs().sum() > 0


@each_network
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("clip", [None, (0.0, 1.0)])
def test_no_point_of_the_ball_escapes_the_bounds(kind, norm, clip):
    network, x = build(kind).double(), inputs(20)
    ball = Ball(norm, torch.linspace(0.0, 0.4, X_DIM, dtype=torch.float64), clip)
    bounds = interval_bounds(network, BallAround(x, ball))
    points = torch.stack([ball.sample(x, generator("points", i)) for i in range(2_000)])
    candidates = [points.flatten(0, 1), *(_climb(network, x, ball, k) for k in range(2 * OUTPUTS))]
    for found in candidates:
        outputs = network(found).unflatten(0, (-1, len(x)))
        assert (outputs >= bounds.lower - 1e-9).all()
        assert (outputs <= bounds.upper + 1e-9).all()


def _climb(network, x, ball, goal):
    """Ascend (even goals) or descend one output from a random point of the ball."""
    output, sign = goal // 2, 1 - 2 * (goal % 2)
    point = ball.sample(x, generator("start", goal))
    for _ in range(30):
        point = point.requires_grad_()
        (gradient,) = torch.autograd.grad(sign * network(point)[:, output].sum(), point)
        point = ball.project(x, point.detach() + 0.2 * ball.steepest(gradient))
    return point


@each_network
def test_bounds_of_a_point_are_its_outputs(kind):
    network, x = build(kind).double(), inputs(10)
    bounds = interval_bounds(network, BallAround(x, Ball("linf", torch.zeros(X_DIM))))
    torch.testing.assert_close(bounds.lower, network(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(bounds.upper, network(x), rtol=0, atol=1e-12)
