"""Ranges of splines and of their derivatives: nothing escapes, a point is exact."""

import pytest
import torch

from certibayes import registry
from certibayes.bounds import Interval
from certibayes.bounds.graph import Input
from certibayes.certificates.linear_moments import LinearMoments
from certibayes.certificates.log_density_bounds import lower_log_density, upper_log_density
from certibayes.certificates.majorant import mean_upper_bound
from certibayes.certificates.planes import planes_below
from certibayes.certificates.posterior_draws import draw_posterior
from certibayes.certificates.shared_adversary import shared_bounds
from certibayes.config.certificates import PosteriorShift
from certibayes.config.models import NSF
from certibayes.estimators.bounded_density import standardized_ball
from certibayes.estimators.nsf import NSFEstimator
from certibayes.estimators.rational_quadratic import Splines, SplineShape
from certibayes.estimators.rational_quadratic_bins import BinBox
from certibayes.estimators.rational_quadratic_bounds import Shares, SplineBox
from certibayes.estimators.rational_quadratic_gradients import log_slope_gradient, value_gradient
from certibayes.metrics.total_variation import total_variation_terms
from certibayes.seeding import generator
from certibayes.threat import Ball

SHAPE = SplineShape(bins=5, bound=3.0, smallest_bin=0.02, steepest=20.0)
RADII = pytest.mark.parametrize("radius", [1e-6, 1e-3, 0.05, 0.5, 4.0])
SPLINES, POINTS = 200, 120


def box_of(radius, spread=1.5, dtype=torch.float64):
    """Splines and arguments that reach into the tails, each with a radius of its own."""
    source = generator("splines", radius)
    numbers = spread * torch.randn(SPLINES, SHAPE.parameters, generator=source)
    w = 8 * torch.rand(SPLINES, generator=source) - 4
    around = [
        Interval.around(t, radius * torch.rand(t.shape, generator=source)).increasing(
            lambda end: end.to(dtype)
        )
        for t in (numbers.to(dtype), w.to(dtype))
    ]
    return around[0], around[1]


def points_of(numbers, w):
    """Corners and random points of a box."""
    source = generator("points")
    for repeat in range(POINTS):
        shares = [torch.rand(t.lower.shape, generator=source).to(t.lower) for t in (numbers, w)]
        if repeat % 3 == 0:
            shares = [share.round() for share in shares]
        yield [
            over.lower + share * over.width
            for share, over in zip(shares, (numbers, w), strict=True)
        ]


@RADII
def test_no_spline_of_a_box_escapes(radius):
    numbers, w = box_of(radius)
    box = SplineBox.of(numbers, SHAPE)
    bins = BinBox.of(box, w)
    found = (
        (box.value(w), value_gradient(box, bins)),
        (bins.log_slope(), log_slope_gradient(box, bins)),
    )
    for bounds, _ in found:
        bounds.require_ordered()
    for one, argument in points_of(numbers, w):
        given, at = one.requires_grad_(), argument.requires_grad_()
        spline = Splines.of(given, SHAPE)
        for knots, range_ in ((spline.u, box.u), (spline.z, box.z)):
            assert range_.contains(knots, 1e-9).all()
        for value, (bounds, gradient) in zip(spline.forward(at), found, strict=True):
            assert bounds.contains(value, 1e-9 * (1 + value.abs())).all()
            by = torch.autograd.grad(value.sum(), (at, given), retain_graph=True)
            for derivative, range_ in zip(by, (gradient.w, gradient.numbers), strict=True):
                assert range_.contains(derivative, 1e-7 * (1 + derivative.abs())).all()


@RADII
def test_gradient_ascent_does_not_escape(radius):
    numbers, w = box_of(radius)
    box = SplineBox.of(numbers, SHAPE)
    bounds = (box.value(w), BinBox.of(box, w).log_slope())
    for which, sign in ((0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0)):
        at = [numbers.center, w.center]
        for step in range(40):
            at = [t.detach().requires_grad_() for t in at]
            value = Splines.of(at[0], SHAPE).forward(at[1])[which]
            slack = 1e-9 * (1 + value.abs())
            assert bounds[which].contains(value, slack).all()
            gradients = torch.autograd.grad(sign * value.sum(), at)
            at = [
                torch.clamp(t + 0.5 * 0.95**step * over.radius * g.sign(), over.lower, over.upper)
                for t, g, over in zip(at, gradients, (numbers, w), strict=True)
            ]


def test_knots_and_values_are_attained():
    """Partial sums at corners of the logits, and z at corners of knots, arguments, derivatives."""
    logits = box_of(0.3)[0].reshape(lambda t: t[:, : SHAPE.bins])
    shares = Shares.of(logits)
    for k in range(SHAPE.bins + 1):
        below = torch.arange(SHAPE.bins) < k
        corner = torch.where(below, logits.upper, logits.lower).softmax(-1)
        torch.testing.assert_close((corner * below).sum(-1), shares.below.upper[:, k])
    numbers, w = box_of(0.3)
    box = SplineBox.of(numbers, SHAPE)
    found = box.value(w)
    inner = (w.lower > -SHAPE.bound) & (w.lower < SHAPE.bound)
    bins = torch.arange(SHAPE.bins + 1)
    holding = (w.lower.unsqueeze(-1) >= box.u.upper[:, 1:-1]).sum(-1, keepdim=True)
    slope = torch.where(bins == holding, box.log_slope.lower, box.log_slope.upper).exp()
    reached, _ = Splines(box.u.upper, box.z.lower, slope).forward(w.lower)
    torch.testing.assert_close(reached[inner], found.lower[inner])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0])
def test_a_point_is_exact_and_has_finite_gradients(dtype, spread):
    numbers, w = box_of(0.0, spread, dtype)
    numbers, w = numbers.lower.requires_grad_(), w.lower.requires_grad_()
    box = SplineBox.of(Interval.point(numbers), SHAPE)
    bins = BinBox.of(box, Interval.point(w))
    z, log_slope = Splines.of(numbers, SHAPE).forward(w)
    tolerance = 1e-12 if dtype == torch.float64 and spread < 30 else 1e-9
    tolerance = tolerance if dtype == torch.float64 else 1e-3
    ends = []
    for bounds, value in ((box.value(Interval.point(w)), z), (bins.log_slope(), log_slope)):
        for end in (bounds.lower, bounds.upper):
            torch.testing.assert_close(end, value, atol=tolerance, rtol=tolerance)
            ends.append(end.sum())
    for gradient in torch.autograd.grad(sum(ends), (numbers, w)):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("radius", [1e-3, 1.0, 100.0, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bounds_of_any_width_are_finite_and_so_are_their_gradients(dtype, radius):
    numbers, w = box_of(0.0, 1.0, dtype)
    center = numbers.lower.requires_grad_()
    box = SplineBox.of(Interval(center - radius, center + radius), SHAPE)
    bins = BinBox.of(box, Interval(w.lower - radius, w.upper + radius))
    total = box.value(w).width.sum() + bins.log_slope().width.sum()
    assert total.isfinite()
    assert torch.autograd.grad(total, center)[0].isfinite().all()


def flow(transforms=2):
    torch.manual_seed(0)
    support = torch.distributions.constraints.real_vector
    spec = NSF(transforms=transforms, hidden=16, blocks=1, bins=4)
    estimator = NSFEstimator(spec, 2, 3, support).double().requires_grad_(False)
    x = torch.randn(4, 3, generator=generator("x")).double()
    return estimator, estimator(x).draw(5, generator("theta")), x


@pytest.mark.parametrize("method", ["crown_ibp", "crown"])
@pytest.mark.parametrize("epsilon", [1e-4, 0.01, 0.3, 3.0, 100.0])
def test_linear_bounds_of_one_theta_are_nowhere_wider_than_intervals(epsilon, method):
    estimator, theta, x = flow()
    ball = Ball("linf", torch.full((3,), epsilon).double(), None)
    interval = registry.load("estimator_bounds", "nsf")(estimator, theta, x, ball)
    assert (lower_log_density(method, estimator, theta, x, ball) >= interval.lower).all()
    assert (upper_log_density(method, estimator, theta, x, ball) <= interval.upper).all()


def planes_at(epsilon, draws=200):
    """Draws of the flow, a ball around every x, and the planes of all draws."""
    estimator, _, x = flow()
    ball = Ball("linf", torch.full((3,), epsilon).double(), None)
    prepared = draw_posterior(estimator, x, draws, seed=1)
    region, center = standardized_ball(estimator, x, ball), estimator.standardize(x)
    perturbed = Input(region, tightening=False)
    (planes,) = planes_below(prepared, perturbed, center)
    return prepared, ball, LinearMoments(region, center), planes


def shared(prepared, ball):
    """Bound the mean term with one x' for all draws."""
    spec = PosteriorShift(
        perturbation={"norm": "linf", "unit": "raw", "epsilons": (0.1,)},
        draws=len(prepared.theta),
        comparison_draws=10,
        tau=0.5,
        interval="hoeffding",
        bounds="crown_ibp",
    )
    return shared_bounds(spec, prepared, ball).mean


def together(moments):
    """Bound the mean term by the moments of planes alone."""
    first, second = -moments.least_mean(), moments.largest_mean_square()
    return mean_upper_bound(first.clamp(min=0), second.clamp(min=0))


def test_planes_stay_where_an_interval_is_the_better_worst_case_of_one_draw():
    *_, planes = planes_at(0.1)
    better = planes.least > planes.deepest + 1e-9
    assert 0.05 < better.double().mean() < 0.95
    assert (planes.slope.abs().sum(-1) > 0).all()


@pytest.mark.parametrize("epsilon", [0.02, 0.1, 3.0])
def test_one_adversary_is_as_good_as_planes_and_as_intervals(epsilon):
    prepared, ball, moments, planes = planes_at(epsilon)
    moments.add(planes.slope, planes.offset)
    terms = total_variation_terms(torch.zeros_like(planes.least), planes.least)
    found = shared(prepared, ball)
    assert (found <= together(moments) + 1e-9).all()
    assert (found <= terms.mean(0) + 1e-9).all()


@pytest.mark.parametrize("epsilon", [0.02, 0.2])
def test_no_point_exceeds_the_bound_of_one_adversary_on_its_draws(epsilon):
    prepared, ball, *_ = planes_at(epsilon)
    found, source = shared(prepared, ball), generator("attack", epsilon)
    posterior, x = prepared.model, prepared.x
    for repeat in range(40):
        step = torch.randn(x.shape, generator=source).double()
        attacked = ball.project(x, x + (step.sign() if repeat % 2 else epsilon * step))
        with torch.no_grad():
            reached = posterior(attacked).log_prob(prepared.theta)
        terms = total_variation_terms(prepared.log_prob, reached)
        assert (terms.mean(0) <= found + 1e-9).all()
