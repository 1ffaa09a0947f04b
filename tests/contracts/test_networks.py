"""Every registered network: shapes, gradients, seeds, and bounds that no point escapes."""

import pytest
import torch

from certibayes import registry
from certibayes.bounds import interval_bounds, linear_bounds
from certibayes.bounds.ball import BallAround
from certibayes.config.networks import CNN, MLP, Convolution, Pool
from certibayes.seeding import generator
from certibayes.threat import Ball

OUTPUTS = 4
SPECS = {
    "mlp": (MLP(), 6),
    "mlp linear": (MLP(hidden=()), 6),
    "cnn": (CNN(hidden=(8,)), 100),
    "cnn strides": (
        CNN(
            channels=2,
            layers=(Convolution(filters=3, kernel=2, stride=2, padding=1), Convolution(filters=4)),
            hidden=(),
        ),
        2 * 5 * 5,
    ),
    "cnn pools": (
        CNN(
            layers=(Convolution(filters=3, padding=2), Pool(pool=2), Pool(pool=2, by="average")),
            hidden=(5,),
        ),
        36,
    ),
    "cnn batch_norm": (
        CNN(
            layers=(Convolution(filters=3, padding=1), Convolution(filters=4, stride=2)),
            hidden=(6,),
            batch_norm=True,
        ),
        25,
    ),
}
"""A registered name, with what is special -> specification, features of x."""
each_network = pytest.mark.parametrize("kind", SPECS)


def test_every_network_is_tested():
    assert {kind.split()[0] for kind in SPECS} == set(registry.names("network"))


def build(kind):
    """Batch normalization gets statistics and scales of no special value."""
    torch.manual_seed(0)
    spec, x_dim = SPECS[kind]
    network = registry.load("network", kind.split()[0])(spec, x_dim, OUTPUTS)
    for layer in network:
        if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            with torch.no_grad():
                for values in (layer.weight, layer.bias, layer.running_mean):
                    values.normal_()
                layer.running_var.uniform_(0.5, 2.0)
    return network.eval()


def inputs(kind, n):
    return torch.rand(n, SPECS[kind][1], generator=generator("inputs"), dtype=torch.float64)


@each_network
def test_one_row_of_outputs_per_input_in_its_precision(kind):
    network = build(kind)
    assert network(inputs(kind, 5).float()).shape == (5, OUTPUTS)
    assert network.double()(inputs(kind, 5)).dtype == torch.float64


@each_network
def test_equal_seeds_build_equal_networks(kind):
    for one, other in zip(build(kind).parameters(), build(kind).parameters(), strict=True):
        assert torch.equal(one, other)


@each_network
def test_gradients_reach_the_input_and_every_weight(kind):
    network, x = build(kind).double(), inputs(kind, 64).requires_grad_()
    network(x).square().sum().backward()
    for value in (x, *network.parameters()):
        assert value.grad.isfinite().all()
        assert value.grad.abs().sum() > 0


@each_network
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("clip", [None, (0.0, 1.0)])
def test_no_point_of_the_ball_escapes_the_bounds(kind, norm, clip):
    network, x = build(kind).double(), inputs(kind, 12)
    ball = Ball(norm, torch.linspace(0.0, 0.4, x.shape[1], dtype=torch.float64), clip)
    around = BallAround(x, ball)
    bounds = interval_bounds(network, around)
    for tightening in (False, True):
        linear = linear_bounds(network, around, tightening=tightening)
        assert (linear.lower >= bounds.lower - 1e-12).all()
        assert (linear.upper <= bounds.upper + 1e-12).all()
        bounds = linear
    points = torch.stack([ball.sample(x, generator("points", i)) for i in range(500)])
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
    network, x = build(kind).double(), inputs(kind, 10)
    bounds = interval_bounds(network, BallAround(x, Ball("linf", torch.zeros(x.shape[1]))))
    torch.testing.assert_close(bounds.lower, network(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(bounds.upper, network(x), rtol=0, atol=1e-12)
