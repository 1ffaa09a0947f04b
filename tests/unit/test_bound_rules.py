"""Which modules have rules, weights under vmap, and the ellipsoid."""

import pytest
import torch
from nflows.transforms.made import MADE
from torch import nn

from certibayes.bounds import (
    BallAround,
    Interval,
    interval_bounds,
    interval_bounds_of_samples,
    last_layer_folded,
)
from certibayes.config.models import MLP as MLPSpec  # noqa: N811
from certibayes.estimators.bounded_density import affine_normal_log_density
from certibayes.networks.initialization import interval_initialization
from certibayes.networks.mlp import MLP
from certibayes.seeding import generator
from certibayes.threat import Ball

BOX = Interval(torch.zeros(1, 2), torch.ones(1, 2))


def test_unknown_module_is_named():
    with pytest.raises(TypeError, match=r"got Hardswish, no bound rule; allowed: .*ReLU"):
        interval_bounds(nn.Sequential(nn.Hardswish()), BOX)


def test_subclass_with_a_forward_of_its_own_has_no_rule():
    masked = MADE(2, 4).initial_layer
    assert isinstance(masked, nn.Linear)
    with pytest.raises(TypeError, match="got MaskedLinear"):
        interval_bounds(masked, BOX)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.LeakyReLU(-0.1), "negative_slope: got -0.1"),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), "padding_mode: got 'circular'"),
        (nn.Flatten(0), "start_dim: got 0"),
    ],
)
def test_settings_without_a_sound_rule_are_errors(module, message):
    with pytest.raises(ValueError, match=message):
        interval_bounds(module, BOX)


def test_folding_needs_a_linear_layer():
    with pytest.raises(TypeError, match="last layer is ReLU"):
        last_layer_folded(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), torch.eye(2), BOX)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("clip", [None, (0.0, 1.0)])
@pytest.mark.parametrize("folded", [False, True])
def test_bounds_of_weight_samples_equal_one_network_at_a_time(norm, clip, folded):
    network = MLP(MLPSpec(hidden=(8, 8)), 5, 3).double()
    samples = {
        name: torch.randn(4, *p.shape, dtype=p.dtype) for name, p in network.named_parameters()
    }
    region = BallAround(torch.rand(6, 5).double(), Ball(norm, torch.full((5,), 0.1), clip))
    coefficients = torch.randn(6, 2, 3).double() if folded else None
    stacked = interval_bounds_of_samples(network, samples, region, coefficients)
    for i in range(4):
        network.load_state_dict({name: values[i] for name, values in samples.items()})
        single = (
            interval_bounds(network, region)
            if coefficients is None
            else last_layer_folded(network, coefficients, region)
        )
        torch.testing.assert_close(stacked.lower[i], single.lower)
        torch.testing.assert_close(stacked.upper[i], single.upper)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_gradients_are_finite_at_radius_zero(norm):
    network = MLP(MLPSpec(hidden=(8,)), 5, 3)
    x = torch.randn(4, 5, requires_grad=True)
    bounds = interval_bounds(network, BallAround(x, Ball(norm, torch.zeros(5))))
    bounds.lower.sum().backward()
    assert x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_l2_ball_is_tighter_than_its_box_and_the_clip_tightens_both():
    network = MLP(MLPSpec(hidden=(32,)), 16, 3).double()
    x, radius = torch.rand(4, 16).double(), torch.full((16,), 0.5).double()
    widths = {
        (norm, clip): interval_bounds(network, BallAround(x, Ball(norm, radius, clip))).width
        for norm in ("l2", "linf")
        for clip in (None, (0.0, 1.0))
    }
    assert (widths["l2", None] < widths["linf", None]).all()
    assert (widths["linf", (0.0, 1.0)] < widths["linf", None]).all()
    assert (widths["l2", (0.0, 1.0)] <= widths["l2", None]).all()
    assert (widths["l2", (0.0, 1.0)] <= widths["linf", (0.0, 1.0)]).all()


def test_squashed_l2_ball_stays_in_its_ellipsoid_which_is_tight_for_small_radii():
    x = 3 * torch.randn(50, 3, generator=generator("x")).double()
    ball = Ball("l2", torch.tensor([0.5, 2.0, 0.0]).double())
    region = BallAround(x, ball).region().asinh()
    step = torch.randn(2000, 50, 3, generator=generator("step")).double()
    border = x + ball.radius * step / step[..., :2].norm(dim=-1, keepdim=True)
    safe = torch.where(region.radius > 0, region.radius, 1.0)
    size = ((border.asinh() - region.center) / safe).norm(dim=-1)
    assert size.max() <= 1 + 1e-12
    far = BallAround(x, ball.scaled(1e-4)).region().asinh()
    near = x + 1e-4 * ball.radius * step / step[..., :2].norm(dim=-1, keepdim=True)
    assert ((near.asinh() - far.center) / torch.where(far.radius > 0, far.radius, 1.0)).norm(
        dim=-1
    ).max() > 0.999


def test_worst_affine_normal_density_is_attained():
    ends = torch.randn(3, 2, 40, generator=generator("ends")).double()
    ends[1] = ends[1].abs() + 0.05
    u, s, t = (Interval(*pair.sort(0).values.unsqueeze(-1)) for pair in ends)
    bounds = affine_normal_log_density(u, s, t)
    grid = torch.linspace(0, 1, 41).double()
    values = [
        (i.lower + grid * i.width).view(40, *shape)
        for i, shape in ((u, (41, 1, 1)), (s, (1, 41, 1)), (t, (1, 1, 41)))
    ]
    density = torch.distributions.Normal(0.0, 1.0).log_prob(values[1] * values[0] + values[2])
    density = (density + values[1].log()).flatten(1)
    torch.testing.assert_close(density.amin(1), bounds.lower)
    assert (density.amax(1) <= bounds.upper + 1e-12).all()


def test_interval_initialization_keeps_widths():
    network = MLP(MLPSpec(hidden=(256,) * 6), 64, 256)
    x, ball = torch.randn(32, 64), Ball("linf", torch.full((64,), 1e-3))
    default = interval_bounds(network, BallAround(x, ball)).width.mean()
    interval_initialization(network, generator("weights"))
    width = interval_bounds(network, BallAround(x, ball)).width.mean()
    assert 2 * 2e-3 * 0.5 < width < 2 * 2e-3 * 2
    assert default > 100 * width
    assert all((p == 0).all() for name, p in network.named_parameters() if "bias" in name)


def test_interval_initialization_counts_the_inputs_that_a_mask_leaves():
    layer = MADE(4, 4000, use_residual_blocks=False, num_blocks=1).initial_layer
    interval_initialization(layer, generator("weights"))
    seen = layer.mask.sum(1)
    assert sorted(seen.unique().tolist()) == [1.0, 2.0, 3.0]
    for inputs in (1, 2, 3):
        expected = (2 * torch.pi) ** 0.5 / inputs
        rms = layer.weight[seen == inputs].square().mean().sqrt()
        torch.testing.assert_close(rms, torch.tensor(expected), rtol=0.05, atol=0)
