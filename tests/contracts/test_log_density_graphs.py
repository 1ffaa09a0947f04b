"""Linear bounds of every estimator's log density: no perturbed observation escapes them."""

import pytest
import torch
from estimator_zoo import GRAPHS, POSITIVE, REAL, estimator_of

from certibayes import registry
from certibayes.bounds.graph import Input
from certibayes.bounds.linear import least_product, lower_form
from certibayes.estimators.bounded_density import standardized_ball
from certibayes.threat import Ball

SIZES = {
    "gaussian": {"hidden": (24, 24)},
    "ensemble": {"hidden": (8,)},
    "mixture": {"hidden": (24,), "components": 3},
    "maf": {"transforms": 3, "hidden": 24},
    "nsf": {"transforms": 2, "hidden": 12, "bins": 4},
}
BATCH, DRAWS, X_DIM = 5, 7, 4


def case(kind, squash=False, support=REAL, gain=1.0):
    sizes = SIZES[kind.partition("-")[0]]
    estimator = estimator_of(kind, support=support, squash=squash, gain=gain, **sizes).eval()
    source = torch.Generator().manual_seed(3)
    x = estimator.x_location + 2 * torch.randn(BATCH, X_DIM, generator=source).double()
    theta = estimator(x).draw(DRAWS, source).detach()
    return estimator.requires_grad_(False), theta, x


def forms(estimator, theta, x, ball, tightening, sign=1.0):
    graph = registry.load("log_density_graph", estimator.kind)
    node = graph(estimator, theta, Input(standardized_ball(estimator, x, ball), tightening))
    return lower_form(node, torch.full(theta.shape[:-1], sign, dtype=torch.float64)), node


def ball_of(norm, epsilon):
    return Ball(norm, torch.tensor([1.0, 0.5, 2.0, 0.0], dtype=torch.float64) * epsilon)


@pytest.mark.parametrize("tightening", [False, True])
@pytest.mark.parametrize("epsilon", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("squash", [False, True])
@pytest.mark.parametrize("kind", GRAPHS)
def test_no_point_of_the_ball_escapes(kind, squash, norm, epsilon, tightening):
    """Random points, corners and points that a gradient pushes against the lower form."""
    estimator, theta, x = case(kind, squash)
    ball = ball_of(norm, epsilon)
    lower, node = forms(estimator, theta, x, ball, tightening)
    upper, _ = forms(estimator, theta, x, ball, tightening, sign=-1.0)
    source = torch.Generator().manual_seed(5)

    def slack(points, form, sign):
        t = estimator.standardize(points)
        value = estimator(points).log_prob(theta)
        return sign * value - form.offset - (form.coefficients * t).sum(-1), value

    def check(points):
        for form, sign in ((lower, 1.0), (upper, -1.0)):
            gap, value = slack(points, form, sign)
            assert (gap >= -1e-9 * (1 + value.abs())).all()
        assert node.interval.contains(value, 1e-9 * (1 + value.abs())).all()

    for repeat in range(150):
        points = ball.sample(x, source)
        check(ball.project(x, x + 20 * (points - x)) if repeat % 2 else points)
    for form, sign in ((lower, 1.0), (upper, -1.0)):
        attacked = ball.sample(x, source)
        for step in range(30):
            attacked = attacked.detach().requires_grad_()
            gap, _ = slack(attacked, form, sign)
            (gradient,) = torch.autograd.grad(-gap.sum(), attacked)
            move = 0.5 * 0.9**step * ball.steepest(gradient)
            attacked = ball.project(x, attacked.detach() + move)
            check(attacked)


@pytest.mark.parametrize("gain", [1.0, 3.0])
@pytest.mark.parametrize("kind", GRAPHS)
def test_large_weights_and_small_scales_do_not_break_it(kind, gain):
    """Scales near their floor lie where their logarithm is convex."""
    estimator, theta, x = case(kind, gain=gain)
    if kind in ("maf", "nsf"):
        for transform in estimator.transforms:
            made = transform.autoregressive_net
            made.final_layer.bias.data[0 :: made.outputs] -= 5.0
    else:
        members = estimator.estimators if kind == "ensemble" else [estimator]
        single = kind.startswith("mixture")
        heads = estimator.gaussian_heads() if single else [m.gaussian_head() for m in members]
        for head in heads:
            head.raw_scale()[1].data -= 5.0
    ball = ball_of("linf", 0.3)
    source = torch.Generator().manual_seed(6)
    form, _ = forms(estimator, theta, x, ball, True)
    for _ in range(300):
        points = ball.sample(x, source)
        value = estimator(points).log_prob(theta)
        parts = form.coefficients * estimator.standardize(points)
        rounding = 1e-13 * (form.magnitude + parts.abs().sum(-1))
        assert (form.offset + parts.sum(-1) <= value + rounding + 1e-9).all()


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("kind", GRAPHS)
def test_exact_at_radius_zero(kind, norm):
    estimator, theta, x = case(kind, support=POSITIVE)
    form, _ = forms(estimator, theta, x, ball_of(norm, 0.0), True)
    torch.testing.assert_close(form.minimum(), estimator(x).log_prob(theta), rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", GRAPHS)
def test_slopes_tend_to_the_score(kind):
    """At a tiny radius the linear bound is the tangent plane of the log density, almost surely."""
    estimator, theta, x = case(kind)
    form, _ = forms(estimator, theta, x, ball_of("linf", 1e-7), True)
    for draw in range(DRAWS):
        given = x.clone().requires_grad_()
        value = estimator(given).log_prob(theta[draw])
        (score,) = torch.autograd.grad(value.sum(), given)
        torch.testing.assert_close(
            form.coefficients[draw], score * estimator.x_scale, rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize("kind", GRAPHS)
def test_never_wider_than_intervals_and_crown_tighter_than_crown_ibp(kind):
    estimator, theta, x = case(kind)
    ball = ball_of("linf", 0.05)
    region = standardized_ball(estimator, x, ball)
    interval = registry.load("estimator_bounds", estimator.kind)(estimator, theta, x, ball).lower
    value = estimator(x).log_prob(theta)
    loss = {}
    for tightening in (False, True):
        form, _ = forms(estimator, theta, x, ball, tightening)
        least = form.offset + least_product(form.coefficients, region)
        loss[tightening] = float((value - least).mean())
    assert loss[True] < loss[False]
    assert loss[True] < 0.5 * float((value - interval).mean())
