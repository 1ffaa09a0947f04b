"""Lines around elementwise functions hold at every point of every interval."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from certibayes.bounds import Interval, relaxations
from certibayes.bounds.graph import Input
from certibayes.bounds.graph_rules import apply
from certibayes.bounds.graph_rules_activations import (
    gelu_derivative,
    sigmoid_lines,
    silu_derivative,
    tanh_lines,
)

INTERVALS = 4_000
POINTS = 201


def leaky(t):
    return functional.leaky_relu(t, 0.1)


FUNCTIONS = {
    "relu": (torch.relu, relaxations.leaky_relu),
    "leaky_relu": (leaky, lambda over: relaxations.leaky_relu(over, 0.1)),
    "tanh": (torch.tanh, tanh_lines),
    "sigmoid": (torch.sigmoid, sigmoid_lines),
    "exp": (torch.exp, lambda over: relaxations.convex(torch.exp, torch.exp, over)),
    "square": (torch.square, lambda over: relaxations.convex(torch.square, lambda t: 2 * t, over)),
    "minus_square": (
        lambda t: -t.square(),
        lambda over: relaxations.concave(lambda t: -t.square(), lambda t: -2 * t, over),
    ),
    "silu": (
        functional.silu,
        lambda over: relaxations.smooth(functional.silu, silu_derivative, over, curvature=0.5),
    ),
    "gelu": (
        functional.gelu,
        lambda over: relaxations.smooth(functional.gelu, gelu_derivative, over, curvature=0.8),
    ),
}
MODULES = (
    *(nn.ReLU(), nn.LeakyReLU(0.2), nn.Tanh(), nn.Sigmoid()),
    *(nn.Softplus(), nn.Softplus(beta=3.0), nn.SiLU(), nn.GELU()),
)


def random_intervals():
    """Centers on both sides of 0; widths from 0 and 1e-12 to 10, among them one-sided ones."""
    generator = torch.Generator().manual_seed(0)
    center = 4 * torch.randn(INTERVALS, generator=generator, dtype=torch.float64)
    radius = 10 ** (13 * torch.rand(INTERVALS, generator=generator, dtype=torch.float64) - 12.3)
    radius[::10] = 0
    return Interval(center - radius, center + radius)


def points_of(over):
    share = torch.linspace(0, 1, POINTS, dtype=torch.float64).unsqueeze(-1)
    return torch.minimum(over.lower + share * over.width, over.upper)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_lines_enclose_the_function(name):
    function, lines_of = FUNCTIONS[name]
    over = random_intervals()
    lines, t = lines_of(over), points_of(over)
    value = function(t)
    tolerance = 1e-12 * (1 + value.abs() + t.abs())
    assert (lines.lower_slope * t + lines.lower_offset <= value + tolerance).all()
    assert (lines.upper_slope * t + lines.upper_offset >= value - tolerance).all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_lines_are_exact_at_a_point_and_tight_in_a_narrow_interval(name):
    function, lines_of = FUNCTIONS[name]
    t = torch.linspace(-6, 6, 101, dtype=torch.float64)
    for radius in (0.0, 1e-9, 1e-5):
        lines = lines_of(Interval(t - radius, t + radius))
        gap = 3 * radius if name in {"relu", "leaky_relu"} else 20 * radius**2
        for slope, offset in (
            (lines.lower_slope, lines.lower_offset),
            (lines.upper_slope, lines.upper_offset),
        ):
            error = (slope * t + offset - function(t)).abs()
            assert (
                error <= gap * (1 + function(t).abs()) + 1e-13 * function(t).abs() + 1e-14
            ).all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_through_the_ends_are_finite(name):
    _, lines_of = FUNCTIONS[name]
    over = random_intervals()
    ends = (over.lower.requires_grad_(), over.upper.requires_grad_())
    lines = lines_of(Interval(*ends))
    total = lines.lower_slope + lines.lower_offset + lines.upper_slope + lines.upper_offset
    wide = over.width.detach() > 1e-3
    for gradient in torch.autograd.grad(total[wide].sum(), ends):
        assert gradient[wide].isfinite().all()


@pytest.mark.parametrize("module", MODULES, ids=repr)
def test_nodes_of_activations_hold_every_value(module):
    over = random_intervals()
    node = apply(module, Input(Interval(over.lower[:, None], over.upper[:, None]), True))
    t = points_of(over)
    value = module(t)
    slack = 1e-8 if isinstance(module, nn.Softplus) else 1e-12 * (1 + value.abs())
    for sign in (1.0, -1.0):
        coefficients = torch.full((INTERVALS, 1), sign, dtype=torch.float64)
        (slope,), offset = node.pull_back(coefficients)
        assert (slope[:, 0] * t + offset <= sign * value + slack * (1 + t.abs())).all()
    assert (value >= node.interval.lower[:, 0] - slack).all()
    assert (value <= node.interval.upper[:, 0] + slack).all()


def test_the_relu_slope_below_is_the_one_with_less_area():
    over = Interval(torch.tensor([-1.0, -3.0, -4.0, 1.0]), torch.tensor([3.0, 1.0, -2.0, 2.0]))
    lines = relaxations.leaky_relu(over)
    assert lines.lower_slope.tolist() == [1.0, 0.0, 0.0, 1.0]
    assert lines.upper_slope.tolist() == [0.75, 0.25, 0.0, 1.0]


def test_a_sigmoidal_line_beats_the_constant_bounds():
    over = Interval(torch.tensor([-2.0]).double(), torch.tensor([3.0]).double())
    lines, t = tanh_lines(over), points_of(over)
    gap = (lines.upper_slope - lines.lower_slope) * t + lines.upper_offset - lines.lower_offset
    assert float(gap.mean()) < 0.75 * float(torch.tanh(over.upper) - torch.tanh(over.lower))
