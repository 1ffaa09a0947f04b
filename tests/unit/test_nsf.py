"""Rational-quadratic splines against nflows' own, the flow's passes, its inverse and refusals."""

import pytest
import torch
from nflows.transforms.splines import rational_quadratic
from torch.distributions import constraints

from certibayes import registry
from certibayes.config import load
from certibayes.config.errors import ConfigError
from certibayes.config.models import NSF
from certibayes.estimators.nsf import NSFEstimator
from certibayes.estimators.rational_quadratic import Splines, SplineShape

REAL = constraints.independent(constraints.real, 1)
SHAPE = SplineShape(bins=8, bound=3.0, smallest_bin=0.01, steepest=30.0)


def splines(n=500, spread=2.0, shape=SHAPE, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    raw = spread * torch.randn(n, shape.parameters, generator=generator, dtype=torch.float64)
    return raw.to(dtype), Splines.of(raw.to(dtype), shape)


def test_values_and_slopes_equal_those_of_nflows():
    """nflows takes unconstrained widths and heights as we do, and softplus for derivatives."""
    raw, spline = splines()
    u = torch.linspace(-3.5, 3.5, 500, dtype=torch.float64)
    slope = spline.slope[:, 1:-1]
    z, log_slope = rational_quadratic.unconstrained_rational_quadratic_spline(
        u,
        raw[:, :8],
        raw[:, 8:16],
        torch.log(torch.expm1(slope - 1e-3)),
        tail_bound=3.0,
        min_bin_width=0.01,
        min_bin_height=0.01,
    )
    ours, our_log_slope = spline.forward(u)
    torch.testing.assert_close(ours, z, atol=1e-10, rtol=0)
    torch.testing.assert_close(our_log_slope, log_slope, atol=1e-8, rtol=0)


def test_parameters_stay_in_their_bounds():
    _, spline = splines(spread=100.0)
    for knots in (spline.u, spline.z):
        assert float(knots.diff(dim=1).min()) >= 0.01 * 6.0 * (1 - 1e-9)
        assert (knots[:, 0] == -3.0).all()
        assert (knots[:, -1] == 3.0).all()
    assert float(spline.slope.min()) >= 1 / 30 * (1 - 1e-9)
    assert float(spline.slope.max()) <= 30 * (1 + 1e-9)


def test_zero_parameters_give_the_identity():
    spline = Splines.of(torch.zeros(7, SHAPE.parameters, dtype=torch.float64), SHAPE)
    u = torch.linspace(-4, 4, 7, dtype=torch.float64)
    z, log_slope = spline.forward(u)
    torch.testing.assert_close(z, u)
    torch.testing.assert_close(log_slope, torch.zeros_like(u), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-3)])
@pytest.mark.parametrize("spread", [0.1, 3.0, 100.0])
def test_inverse_is_sound_for_steep_splines_at_knots_and_in_the_tails(dtype, tolerance, spread):
    """What makes nflows' inverse fail an assertion in float32 is a sum of squares here."""
    n = 4_000
    _, spline = splines(n, spread, dtype=dtype)
    u = (4 * torch.rand(n, generator=torch.Generator().manual_seed(1)).to(dtype) - 2) * 1.7
    u[:800] = spline.u[:800, 3]
    u[800:900], u[900:1000] = -3.0, 3.0
    z, log_slope = spline.forward(u)
    back = spline.inverse(z)
    assert back.isfinite().all()
    assert log_slope.isfinite().all()
    error = (spline.forward(back)[0] - z).abs()
    assert float(error.max()) < tolerance
    tail = u.abs() > 3
    assert torch.equal(z[tail], u[tail])
    assert torch.equal(back[tail], u[tail])


def test_gradients_of_the_inverse_are_finite_at_both_ends_of_a_bin():
    raw, _ = splines(200)
    raw.requires_grad_()
    spline = Splines.of(raw, SHAPE)
    for knot in (0, 3, SHAPE.bins):
        value = spline.z[:, knot].detach()
        (gradient,) = torch.autograd.grad(spline.inverse(value).sum(), raw, retain_graph=True)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("theta_dim", [1, 2, 7])
@pytest.mark.parametrize("transforms", [1, 3])
def test_fast_passes_equal_nflows(theta_dim, transforms):
    torch.manual_seed(0)
    spec = NSF(transforms=transforms, hidden=20, bins=5)
    estimator = NSFEstimator(spec, theta_dim, 5, REAL).double().requires_grad_(False)
    x, v = torch.randn(9, 5).double(), 2 * torch.randn(9, theta_dim).double()
    noise, log_det = estimator.reference_normalize(v, x)
    posterior = estimator(x)
    fast_noise, fast_log_det = posterior._normalize(v)
    torch.testing.assert_close(fast_noise, noise, atol=1e-10, rtol=0)
    torch.testing.assert_close(fast_log_det, log_det, atol=1e-10, rtol=0)
    inverse = noise
    for position in reversed(range(transforms)):
        inverse, _ = estimator.transforms[position].inverse(inverse, x)
        inverse = inverse.flip(-1) if position else inverse
    torch.testing.assert_close(posterior._generate(noise), inverse, atol=1e-10, rtol=0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bins": 10, "smallest_bin": 0.1}, "smallest_bin: got 0.1; allowed: below 1 / bins = 0.1"),
        ({"steepest": 1.0}, "steepest: got 1.0; allowed: above 1"),
    ],
)
def test_impossible_bounds_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        NSF(**fields)


@pytest.mark.parametrize(("part", "name"), [("defenses", "robust"), ("certificates", "shift")])
def test_what_needs_bounds_is_refused_only_without_bounds(tmp_path, part, name, monkeypatch):
    path = tmp_path / "study.yaml"
    path.write_text(
        "study: s\n"
        "models: {flow: {estimator: {kind: nsf}}}\n"
        "defenses:\n"
        "  robust: {kind: robust_likelihood,"
        " perturbation: {norm: linf, unit: raw, epsilon: 0.1}}\n"
        "certificates:\n"
        "  shift: {kind: posterior_shift,"
        " perturbation: {norm: linf, unit: raw, epsilons: [0.1]}}\n"
        "experiments:\n"
        f"  - {{task: two_moons, budget: 1000, model: flow, {part}: [{name}]}}\n"
    )
    load(path)
    monkeypatch.delitem(registry.REGISTRY["estimator_bounds"], "nsf")
    with pytest.raises(ConfigError, match=r"'nsf' estimator of 'flow'.*allowed estimators: gauss"):
        load(path)
