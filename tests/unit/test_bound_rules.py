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
    linear_bounds,
)
from certibayes.bounds.graph import Input
from certibayes.bounds.graph_rules import apply
from certibayes.bounds.graph_rules_pooling import windows_of
from certibayes.bounds.linear import lower_form
from certibayes.config.models import MLP as MLPSpec  # noqa: N811
from certibayes.estimators.bounded_density import affine_normal_log_density
from certibayes.networks.initialization import interval_initialization
from certibayes.networks.mlp import MLP
from certibayes.networks.residual import Residual
from certibayes.seeding import generator
from certibayes.threat import Ball

BOX = Interval(torch.zeros(1, 2), torch.ones(1, 2))
BOTH = (interval_bounds, linear_bounds)


def test_unknown_module_is_named():
    with pytest.raises(TypeError, match=r"got Hardswish, no bound rule; allowed: .*ReLU"):
        interval_bounds(nn.Sequential(nn.Hardswish()), BOX)


def test_subclass_with_a_forward_of_its_own_has_no_rule():
    class Doubled(nn.Linear):
        def forward(self, t):
            return 2 * super().forward(t)

    for bounds in BOTH:
        with pytest.raises(TypeError, match=r"got .*Doubled"):
            bounds(nn.Sequential(Doubled(2, 2)), BOX)


def test_a_module_that_does_not_do_what_its_type_says_is_an_error():
    hooked, watched, patched = nn.Tanh(), nn.Tanh(), nn.Tanh()
    hooked.register_forward_hook(lambda module, inputs, output: 2 * output)
    watched.register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))
    patched.forward = torch.sin
    for module in (hooked, watched, patched):
        for bounds in BOTH:
            with pytest.raises(ValueError, match="got Tanh with hooks"):
                bounds(nn.Sequential(module), BOX)
    for module in (nn.ReLU(inplace=True), nn.LeakyReLU(0.1, inplace=True), nn.SiLU(inplace=True)):
        for bounds in BOTH:
            with pytest.raises(ValueError, match="inplace: got True"):
                bounds(module, BOX)


def test_parametrized_weights_are_read_as_the_module_reads_them():
    layer = torch.nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2)).eval()
    for bounds in BOTH:
        found = bounds(layer, Interval.point(torch.ones(1, 2)))
        torch.testing.assert_close(found.lower, layer(torch.ones(1, 2)))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.LeakyReLU(-0.1), "negative_slope: got -0.1"),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), "padding_mode: got 'circular'"),
        (nn.Flatten(0), "start_dim: got 0"),
        (nn.Unflatten(0, (1, 1)), "Unflatten.dim: got 0"),
        (nn.Unflatten(-2, (1, 1)), "Unflatten.dim: got -2"),
        (nn.GLU(0), "GLU.dim: got 0"),
        (nn.GLU(-2), "GLU.dim: got -2"),
        (nn.GELU("tanh"), "approximate: got 'tanh'"),
        (nn.Softplus(beta=-1.0), "beta: got -1.0"),
        (nn.Softplus(threshold=5.0), "threshold: got 5.0"),
        (nn.Softplus(threshold=-1e6), "threshold: got -1000000.0"),
        (nn.Softplus(beta=1e-3), "threshold: got 20"),
        (nn.BatchNorm1d(2), "BatchNorm1d.training: got True"),
        (nn.BatchNorm1d(2, track_running_stats=False).eval(), "track_running_stats: got False"),
        (nn.Conv1d(1, 1, 1), "Conv1d: got an input with 2 dimensions; allowed: 3"),
        (nn.AvgPool1d(1), "AvgPool1d: got an input with 2 dimensions"),
        (nn.MaxPool2d(1), "MaxPool2d: got an input with 2 dimensions"),
        (nn.MaxPool1d(1, return_indices=True), "return_indices: got True"),
        (Residual(nn.Linear(2, 3)), r"body: got output shape \(1, 3\)"),
        (Residual(nn.Linear(2, 1)), r"body: got output shape \(1, 1\)"),
    ],
)
def test_settings_without_a_sound_rule_are_errors(module, message):
    for bounds in BOTH:
        with pytest.raises(ValueError, match=message):
            bounds(module, BOX)


def test_batch_norm_in_training_mode_is_named_inside_a_network():
    network = nn.Sequential(
        nn.Unflatten(1, (1, 1, 2)), nn.Conv2d(1, 2, 1), nn.Sequential(nn.BatchNorm2d(2))
    )
    for bounds in BOTH:
        with pytest.raises(ValueError, match=r"BatchNorm2d\.training: got True"):
            bounds(network.train(), BOX)
        assert bounds(network.eval(), BOX).lower.shape == (1, 2, 1, 2)


LINEAR_MAPS = {
    "conv1d": (nn.Conv1d(2, 4, 3, 2, 2, 2, groups=2, bias=False), (2, 6)),
    "conv1d_same": (nn.Conv1d(2, 3, 3, padding="same", dilation=2, bias=False), (2, 5)),
    "conv2d": (nn.Conv2d(2, 2, (2, 3), (1, 2), (1, 0), bias=False), (2, 3, 4)),
    "avg_pool1d": (nn.AvgPool1d(3, 2, 1), (2, 7)),
    "avg_pool1d_inside": (nn.AvgPool1d(3, 2, 1, count_include_pad=False), (2, 6)),
    "avg_pool2d_ceil": (nn.AvgPool2d(2, 2, 1, ceil_mode=True), (2, 3, 4)),
    "avg_pool2d_divisor": (nn.AvgPool2d(2, 1, divisor_override=3), (1, 3, 4)),
    "avg_pool1d_rest": (nn.AvgPool1d(3), (2, 8)),
}


@pytest.mark.parametrize("name", LINEAR_MAPS)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_linear_bounds_of_linear_maps_are_attained(name, norm):
    """Against the dense matrix; intervals too, but for means over cut windows of an ellipsoid."""
    module, shape = LINEAR_MAPS[name]
    module = module.double()
    size = torch.Size(shape).numel()
    matrix = module(torch.eye(size).double().view(size, *shape)).flatten(1).detach().T
    x = torch.randn(3, *shape, generator=generator("x"), dtype=torch.float64)
    radius = torch.rand(size, generator=generator("radius"), dtype=torch.float64)
    terms = (matrix * radius).abs()
    reach = terms.sum(1) if norm == "linf" else terms.square().sum(1).sqrt()
    region = BallAround(x, Ball(norm, radius))
    deep = nn.Sequential(nn.Identity(), module, nn.Flatten(), nn.Linear(len(matrix), 1).double())
    last = deep[-1].weight[0] @ matrix
    composed = (last * radius).abs()
    whole = composed.sum() if norm == "linf" else composed.square().sum().sqrt()
    for tightening in (False, True):
        bounds = linear_bounds(module, region, tightening=tightening)
        torch.testing.assert_close(bounds.center.flatten(1), x.flatten(1) @ matrix.T)
        torch.testing.assert_close(bounds.radius.flatten(1), reach.expand(3, -1))
        composed_bounds = linear_bounds(deep, region, tightening=tightening)
        torch.testing.assert_close(composed_bounds.radius, whole.expand(3, 1))
    interval = interval_bounds(module, region)
    if norm == "linf" or name not in {"avg_pool1d_inside", "avg_pool2d_ceil"}:
        torch.testing.assert_close(interval.radius.flatten(1), reach.expand(3, -1))
    assert (interval.radius.flatten(1) >= reach - 1e-12).all()


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.MaxPool1d(3), (2, 8)),
        (nn.MaxPool1d(3, 2, 1), (2, 8)),
        (nn.MaxPool1d(2, 3, dilation=3), (2, 9)),
        (nn.MaxPool1d(3, 2, 1, ceil_mode=True), (2, 8)),
        (nn.MaxPool2d(2), (2, 5, 4)),
        (nn.MaxPool2d((3, 2), (2, 1), (1, 0)), (2, 5, 4)),
        (nn.MaxPool2d(2, 2, 1, (2, 1), ceil_mode=True), (2, 5, 6)),
    ],
    ids=repr,
)
def test_windows_hold_what_the_pool_sees(module, shape):
    t = torch.randn(50, *shape, generator=generator("t"))
    pooled = module(t)
    windows = windows_of(module, shape[1:], tuple(pooled.shape[2:]))
    seen = windows.gather(t.flatten(2)).masked_fill(~windows.inside, -torch.inf)
    assert torch.equal(seen.amax(-1), pooled.flatten(2))
    ones = windows.inside.float().expand(1, 1, *windows.inside.shape)
    moved = (ones * seen[:1, :1].nan_to_num(neginf=0.0)).sum()
    back = (windows.scatter(ones, t[0, 0].numel()) * t[:1, :1].flatten(2)).sum()
    torch.testing.assert_close(moved, back)


def test_a_window_in_the_padding_alone_is_an_error():
    module = nn.MaxPool1d(2, 1, 1, dilation=3)
    with pytest.raises(ValueError, match="padding: got 1 with dilation 3; allowed: every window"):
        windows_of(module, (2,), (1,))


def test_linear_bounds_of_a_maximum_follow_the_entry_that_is_always_largest():
    lower = torch.tensor([[[0.0, 2.0, -1.0, 0.0, 0.1, 0.2]]])
    region = Interval(lower, lower + torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 1.0]))
    module = nn.Sequential(nn.MaxPool1d(3), nn.Flatten(), nn.Linear(2, 1, bias=False))
    nn.init.constant_(module[-1].weight, 1.0)
    bounds = linear_bounds(module, region)
    torch.testing.assert_close(bounds.lower, torch.tensor([[2.0 + 0.2]]))
    torch.testing.assert_close(bounds.upper, torch.tensor([[3.0 + 1.2]]))
    apart = Interval(lower[..., :3], region.upper[..., :3])
    form = lower_form(apply(nn.MaxPool1d(3), Input(apart, True)), -torch.ones(1, 1, 1, 1))
    assert form.coefficients.flatten().tolist() == [0.0, -1.0, 0.0]
    assert form.offset.flatten().tolist() == [0.0]


def test_partial_flattening_has_linear_bounds():
    layers = (nn.Unflatten(1, (2, 3, 2)), nn.Flatten(1, 2), nn.Conv1d(6, 2, 2), nn.Flatten())
    module = nn.Sequential(*layers).double()
    x = torch.randn(3, 12, dtype=torch.float64)
    region = BallAround(x, Ball("linf", torch.full((12,), 0.1).double()))
    one, other = interval_bounds(module, region), linear_bounds(module, region)
    torch.testing.assert_close(one.lower, other.lower)
    torch.testing.assert_close(one.upper, other.upper)


def test_an_l2_ball_passes_normalization_and_rearrangement_unchanged():
    norm = nn.BatchNorm1d(2).eval().double()
    norm.weight.data = torch.tensor([-2.0, 0.5]).double()
    norm.running_mean.fill_(0.3)
    module = nn.Sequential(nn.Unflatten(1, (2, 2)), norm, nn.Flatten(), nn.Linear(4, 2).double())
    region = BallAround(torch.zeros(1, 4).double(), Ball("l2", torch.ones(4).double()))
    scale = norm.weight.repeat_interleave(2) / (1 + norm.eps) ** 0.5
    reach = (module[-1].weight * scale).norm(dim=1)
    for bounds in BOTH:
        torch.testing.assert_close(bounds(module, region).radius[0], reach)


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
