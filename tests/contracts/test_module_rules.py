"""Every module with bound rules: no point escapes interval or linear bounds, radius 0 is exact."""

import pytest
import torch
from nflows.transforms.made import (
    MADE,
    MaskedFeedforwardBlock,
    MaskedLinear,
    MaskedResidualBlock,
)
from test_bounds import NORMS, ascend, assert_inside, corners, random_points, seeded_ball, seeded_x
from torch import nn

from certibayes.bounds import BallAround, graph_rules, interval_bounds, linear_bounds, rules
from certibayes.estimators import made_bounds
from certibayes.estimators.joined_made import JoinedMADE
from certibayes.networks.residual import Residual

FEATURES, OUTPUTS, BATCH = 8, 3, 2
POINTS = 25_000
TOLERANCE = 1e-9


def image(*layers):
    return nn.Sequential(nn.Unflatten(1, (2, 4)), *layers, nn.Flatten(), nn.LazyLinear(OUTPUTS))


def picture(*layers):
    return nn.Sequential(nn.Unflatten(1, (2, 2, 2)), *layers, nn.Flatten(), nn.LazyLinear(OUTPUTS))


def dense(*layers):
    return nn.Sequential(nn.Linear(FEATURES, 8), *layers, nn.LazyLinear(OUTPUTS))


def masked():
    layer = MADE(FEATURES, 8).initial_layer
    assert type(layer) is MaskedLinear
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(8, OUTPUTS))


def made(features, **settings):
    """Residual blocks, which nflows starts near the identity, have all weights drawn anew."""
    network = MADE(features, 8, num_blocks=1, use_batch_norm=True, **settings)
    for block in network.blocks:
        if isinstance(block, MaskedResidualBlock):
            block.linear_layers[-1].reset_parameters()
    return network


def blocks():
    """The blocks of a MADE by themselves."""
    degrees = torch.arange(FEATURES) % (FEATURES - 1) + 1
    residual = MaskedResidualBlock(
        degrees, FEATURES, use_batch_norm=True, zero_initialization=False
    )
    feedforward = MaskedFeedforwardBlock(residual.degrees, FEATURES, activation=torch.tanh)
    return nn.Sequential(residual, feedforward, nn.Linear(FEATURES, OUTPUTS))


def joined(**settings):
    network = made(3, context_features=FEATURES - 3, **settings)
    return nn.Sequential(JoinedMADE(network), nn.Linear(3, OUTPUTS))


CASES = {
    "linear": lambda: dense(nn.Identity(), nn.Linear(8, 8)),
    "relu": lambda: dense(nn.ReLU()),
    "leaky_relu": lambda: dense(nn.LeakyReLU(0.2)),
    "tanh": lambda: dense(nn.Tanh()),
    "sigmoid": lambda: dense(nn.Sigmoid()),
    "softplus": lambda: dense(nn.Softplus(beta=2.0)),
    "silu": lambda: dense(nn.SiLU()),
    "gelu": lambda: dense(nn.GELU()),
    "glu": lambda: dense(nn.GLU(), nn.Linear(4, 8), nn.GLU(1)),
    "residual": lambda: dense(nn.Tanh(), Residual(nn.Sequential(nn.Linear(8, 8), nn.ReLU()))),
    "residual_first": lambda: nn.Sequential(
        Residual(nn.Sequential(nn.Linear(8, 8), nn.SiLU())), nn.Linear(8, OUTPUTS)
    ),
    "batch_norm": lambda: nn.Sequential(
        nn.BatchNorm1d(8), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, OUTPUTS)
    ),
    "conv1d": lambda: image(
        nn.Conv1d(2, 4, 3, stride=2, padding=2, groups=2), nn.ReLU(), nn.Conv1d(4, 3, 2)
    ),
    "conv1d_norm": lambda: image(
        nn.Conv1d(2, 4, 3, padding="same", dilation=2), nn.BatchNorm1d(4), nn.GELU()
    ),
    "conv2d": lambda: picture(
        nn.Conv2d(2, 4, 2, stride=(1, 2), padding=(1, 2)), nn.BatchNorm2d(4), nn.ReLU()
    ),
    "avg_pool1d": lambda: image(
        nn.AvgPool1d(2), nn.Conv1d(2, 4, 1), nn.Tanh(), nn.AvgPool1d(2, 1, 1)
    ),
    "avg_pool2d": lambda: picture(
        nn.AvgPool2d(2, 1, 1), nn.ReLU(), nn.AvgPool2d((1, 2), ceil_mode=True)
    ),
    "max_pool1d": lambda: image(nn.Conv1d(2, 3, 2), nn.MaxPool1d(2, 1), nn.ReLU()),
    "max_pool2d": lambda: picture(
        nn.Conv2d(2, 3, 2, padding=1), nn.MaxPool2d(2, 1, 1), nn.Conv2d(3, 3, 2)
    ),
    "max_pool_first": lambda: image(nn.MaxPool1d(3, 1, 1)),
    "glu_channels": lambda: image(nn.Conv1d(2, 4, 1), nn.GLU(1), nn.Conv1d(2, 4, 1), nn.GLU(-2)),
    "masked_linear": masked,
    "masked_blocks": blocks,
    "made": lambda: nn.Sequential(made(FEATURES), nn.Linear(FEATURES, OUTPUTS)),
    "made_of_both": joined,
    "made_feedforward": lambda: joined(use_residual_blocks=False, activation=torch.tanh),
    "deep": lambda: image(
        nn.Conv1d(2, 4, 3, padding=1),
        nn.SiLU(),
        nn.AvgPool1d(2),
        Residual(nn.Sequential(nn.Conv1d(4, 4, 1), nn.GELU())),
        nn.Flatten(),
        nn.Linear(8, 8),
        nn.Tanh(),
        nn.Unflatten(-1, (4, 2)),
    ),
}
BOUNDS = {
    "interval": interval_bounds,
    "crown_ibp": lambda module, ball: linear_bounds(module, ball, tightening=False),
    "crown": linear_bounds,
}
EACH_CASE = pytest.mark.parametrize("name", CASES)


def build(name, dtype=torch.float64, gain=2.0):
    """Weights doubled, statistics of normalizations drawn, some of their scales negative."""
    torch.manual_seed(0)
    module = CASES[name]()
    module(torch.zeros(2, FEATURES))
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.2, 2.0)
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(gain)
    return module.to(dtype).eval()


@EACH_CASE
@NORMS
def test_no_point_escapes(name, norm):
    module = build(name)
    x, ball = seeded_x(BATCH, FEATURES, None), seeded_ball(norm, None, FEATURES, scale=0.5)
    found = {kind: bounds(module, BallAround(x, ball)) for kind, bounds in BOUNDS.items()}
    for bounds in found.values():
        bounds.require_ordered()
    climbed = [
        ascend(lambda t, i=output, sign=sign: sign * module(t)[:, i], ball, x, 25, 8)
        for output in range(OUTPUTS)
        for sign in (1, -1)
    ]
    points = torch.cat((random_points(ball, x, POINTS), corners(ball, x), *climbed))
    with torch.no_grad():
        values = module(points.flatten(0, 1)).view(*points.shape[:2], OUTPUTS)
    for bounds in found.values():
        assert_inside(bounds, values)
    assert found["crown"].width.mean() <= found["crown_ibp"].width.mean() + 1e-12
    for kind in ("crown", "crown_ibp"):
        assert (found[kind].lower >= found["interval"].lower - 1e-12).all()
        assert (found[kind].upper <= found["interval"].upper + 1e-12).all()


@EACH_CASE
@NORMS
@pytest.mark.parametrize("kind", BOUNDS)
def test_radius_zero_is_exact(name, norm, kind):
    module = build(name)
    x, ball = seeded_x(BATCH, FEATURES, None), seeded_ball(norm, None, FEATURES)
    bounds = BOUNDS[kind](module, BallAround(x, ball.scaled(0.0)))
    for end in (bounds.lower, bounds.upper):
        torch.testing.assert_close(end, module(x), atol=1e-12, rtol=0)


@EACH_CASE
@pytest.mark.parametrize("kind", BOUNDS)
def test_bounds_of_clipped_balls_hold_and_are_tighter(name, kind):
    module, clip = build(name), (-1.0, 1.0)
    x = seeded_x(BATCH, FEATURES, clip)
    for norm in ("linf", "l2"):
        ball = seeded_ball(norm, clip, FEATURES, scale=0.6)
        bounds = BOUNDS[kind](module, BallAround(x, ball))
        free = BOUNDS[kind](module, BallAround(x, seeded_ball(norm, None, FEATURES, scale=0.6)))
        points = torch.cat((random_points(ball, x, 2_000), corners(ball, x)))
        with torch.no_grad():
            assert_inside(bounds, module(points.flatten(0, 1)).view(-1, BATCH, OUTPUTS))
        if kind == "interval":
            assert (bounds.width <= free.width + 1e-12).all()


@EACH_CASE
@pytest.mark.parametrize("kind", BOUNDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("factor", [0.0, 1e-6, 1.0])
def test_bounds_train_in_both_precisions(name, kind, dtype, factor):
    module = build(name, dtype)
    x = seeded_x(BATCH, FEATURES, None).to(dtype).requires_grad_()
    for norm in ("linf", "l2"):
        ball = seeded_ball(norm, None, FEATURES).to(x).scaled(factor)
        bounds = BOUNDS[kind](module, BallAround(x, ball))
        assert bounds.lower.dtype == dtype
        total = bounds.upper.sum() - 2 * bounds.lower.sum()
        gradients = torch.autograd.grad(total, (x, *module.parameters()), allow_unused=True)
        for gradient in gradients:
            assert gradient is None or gradient.isfinite().all()
        last = list(module.parameters())[-2]
        assert gradients[-2].abs().max() > 0
        assert gradients[-2].shape == last.shape


@EACH_CASE
def test_float32_bounds_agree_with_float64(name):
    ball = seeded_ball("linf", None, FEATURES)
    for bounds in BOUNDS.values():
        exact = bounds(build(name), BallAround(seeded_x(BATCH, FEATURES, None), ball))
        x = seeded_x(BATCH, FEATURES, None).float()
        rough = bounds(build(name, torch.float32), BallAround(x, ball.to(x)))
        for end in ("lower", "upper"):
            torch.testing.assert_close(
                getattr(rough, end).double(), getattr(exact, end), atol=1e-3, rtol=1e-3
            )


def test_linear_bounds_are_tighter_than_intervals_on_average():
    ratios = {}
    for name in CASES:
        module = build(name, gain=1.0)
        x, ball = seeded_x(20, FEATURES, None), seeded_ball("linf", None, FEATURES, scale=0.1)
        widths = [bounds(module, BallAround(x, ball)).width.mean() for bounds in BOUNDS.values()]
        ratios[name] = float((widths[2] / widths[0]).detach())
    assert all(ratio <= 1 + 1e-12 for ratio in ratios.values())
    assert sum(ratios.values()) / len(ratios) < 0.8, ratios


def test_every_rule_is_among_the_cases_and_has_both_forms():
    assert made_bounds.MaskedLinear is MaskedLinear
    seen = {type(layer) for name in CASES for layer in build(name).modules()}
    assert set(rules._RULES) == set(graph_rules._RULES)
    assert set(rules._RULES) <= seen
