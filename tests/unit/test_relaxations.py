"""Lines around elementwise functions hold at every point of every interval."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from certibayes.bounds import Interval, relaxations
from certibayes.bounds.graph import Input
from certibayes.bounds.graph_rules import apply
from certibayes.bounds.graph_rules_activations import GELU, SILU, sigmoid_lines, tanh_lines
from certibayes.bounds.relaxations_dip import dip_lines

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
    "silu": (functional.silu, lambda over: dip_lines(SILU, over)),
    "gelu": (functional.gelu, lambda over: dip_lines(GELU, over)),
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


def extreme_intervals():
    """All ordered pairs of ends from 0, 1e-9 .. 1e6 and their negatives, and of odd ends."""
    powers = 10.0 ** torch.arange(-9, 7, dtype=torch.float64)
    odd = torch.tensor([0.0, 0.75179, 1.27846, 3.0, 5.999, 6.001, 7.999, 8.001, 20.0, 40.0])
    ends = torch.cat((powers, -powers, odd.double(), -odd.double())).unique()
    lower, upper = torch.combinations(ends, with_replacement=True).unbind(1)
    return Interval(lower, upper)


def dense_points(over):
    """Even points, points that crowd at both ends and, where inside, around 0."""
    near = torch.logspace(-12, 0, 40, dtype=torch.float64).unsqueeze(-1)
    around = torch.cat((-(10.0**6) * near.flip(0), 1e6 * near)) / 10.0
    small = torch.linspace(-12, 12, 241, dtype=torch.float64).unsqueeze(-1)
    found = torch.cat(
        (
            points_of(over),
            over.lower + near * over.width,
            over.upper - near * over.width,
            (around + torch.zeros_like(over.lower)),
            (small + torch.zeros_like(over.lower)),
        )
    )
    return torch.minimum(torch.maximum(found, over.lower), over.upper)


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


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"exp", "square", "minus_square"}))
def test_lines_enclose_the_function_over_extreme_intervals(name):
    """Very wide, tiny, one-sided and across: rounding of a slope times the far end is allowed."""
    function, lines_of = FUNCTIONS[name]
    over = extreme_intervals()
    lines, t = lines_of(over), dense_points(over)
    value = function(t)
    farthest = over.magnitude().upper
    tolerance = 1e-12 + 1e-14 * farthest * (1 + lines.lower_slope.abs() + lines.upper_slope.abs())
    assert (lines.lower_slope * t + lines.lower_offset <= value + tolerance).all()
    assert (lines.upper_slope * t + lines.upper_offset >= value - tolerance).all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_lines_hold_in_float32(name):
    function, lines_of = FUNCTIONS[name]
    double = random_intervals()
    over = Interval(double.lower.float(), double.upper.float())
    lines, t = lines_of(over), dense_points(Interval(over.lower.double(), over.upper.double()))
    value = function(t)
    size = 1 + value.abs() + function(over.lower).abs() + function(over.upper).abs() + t.abs()
    tolerance = 1e-5 * size * (1 + lines.lower_slope.abs() + lines.upper_slope.abs())
    assert (lines.lower_slope * t + lines.lower_offset <= value + tolerance).all()
    assert (lines.upper_slope * t + lines.upper_offset >= value - tolerance).all()


@pytest.mark.parametrize(
    ("module", "dip"), [(nn.SiLU(), SILU), (nn.GELU(), GELU)], ids=["silu", "gelu"]
)
def test_what_is_known_of_a_dip_is_true(module, dip):
    t = torch.linspace(-40, 40, 800_001, dtype=torch.float64, requires_grad=True)
    value = module(t)
    torch.testing.assert_close(value, t.relu() - dip.remainder(t.abs()), atol=1e-14, rtol=1e-14)
    (slope,) = torch.autograd.grad(value.sum(), t, create_graph=True)
    torch.testing.assert_close(slope, dip.derivative(t), atol=1e-12, rtol=0)
    (second,) = torch.autograd.grad(slope.sum(), t)
    assert second.abs().max() <= dip.curvature
    tail = dip.remainder(torch.linspace(dip.reach, 60, 100_000, dtype=torch.float64))
    assert (tail >= 0).all()
    assert (tail.diff() <= 1e-16).all()


@pytest.mark.parametrize(
    ("module", "dip"), [(nn.SiLU(), SILU), (nn.GELU(), GELU)], ids=["silu", "gelu"]
)
def test_a_dip_is_enclosed_about_as_well_as_a_relu_over_wide_intervals(module, dip):
    over = Interval(torch.tensor([-50.0]).double(), torch.tensor([30.0]).double())
    lines, relu, t = dip_lines(dip, over), relaxations.leaky_relu(over), points_of(over)
    gaps = [
        ((of.upper_slope - of.lower_slope) * t + of.upper_offset - of.lower_offset).mean()
        for of in (lines, relu)
    ]
    assert gaps[0] < gaps[1] + 0.5


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
