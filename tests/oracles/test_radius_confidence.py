"""Bounds at all radii of a grid, made monotone: together they hold as often as stated."""

import math

import pytest
import torch
from test_posterior_shift_closed_form import (
    FACTOR,
    MATRIX,
    Bounds,
    LinearGaussian,
    drawn,
    observations,
)
from torch.distributions import Normal

from certibayes import registry
from certibayes.certificates.posterior_shift import PosteriorShift
from certibayes.certificates.radius import least_over_larger
from certibayes.config.certificates import PosteriorShift as Spec
from certibayes.threat import Ball

STEP, RADII, LEVELS = 0.1, 6, 64
SHARE = 24 / LEVELS
ALPHA, REPETITIONS, DRAWS = 0.05, 2_000, 60


def cut(estimator, theta, x, ball):
    """q(. | x') vanishes on a set of mass SHARE, independent of the sets of the other radii.

    The quantile of the first coordinate is uniform, so its digits to the base 64 are independent;
    the digit number i decides at radius number i.
    """
    moved = (theta - x @ MATRIX.T).unsqueeze(-1)
    noise = torch.linalg.solve_triangular(FACTOR, moved, upper=False)[..., 0, 0]
    digits = Normal(0.0, 1.0).cdf(noise) * LEVELS ** round(float(ball.radius[0]) / STEP)
    log_prob = estimator(x).log_prob(theta)
    empty = digits.floor() % LEVELS < SHARE * LEVELS
    return Bounds(torch.where(empty, -torch.inf, log_prob), log_prob)


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    path = f"{LinearGaussian.__module__}:LinearGaussian"
    monkeypatch.setitem(registry.REGISTRY["estimator"], "stand_in", path)
    monkeypatch.setitem(registry.REGISTRY["estimator_bounds"], "stand_in", f"{__name__}:cut")


def missed_share(prepared, radius):
    """Share of repetitions in which a bound at any radius is below the truth, SHARE at each."""
    epsilons = tuple(STEP * (1 + i) for i in range(RADII))
    spec = Spec(
        perturbation={"norm": "linf", "unit": "raw", "epsilons": epsilons},
        draws=DRAWS,
        comparison_draws=2,
        confidence=1 - ALPHA,
        interval="betting",
        radius=radius,
    )
    found = [
        PosteriorShift(spec).certify(prepared, Ball("linf", torch.full((3,), at).double()))
        for at in epsilons
    ]
    means = torch.stack([result.mean for result in found])
    expected = torch.full((RADII,), SHARE).double()
    torch.testing.assert_close(means.mean(1), expected, rtol=0, atol=0.01)
    assert torch.corrcoef(means).fill_diagonal_(0).abs().max() < 0.1
    upper = least_over_larger(torch.stack([result.upper for result in found]))
    return float((upper < SHARE).any(0).double().mean())


@pytest.mark.slow
def test_no_radius_is_missed_more_often_than_stated_and_the_split_is_needed():
    prepared = drawn(LinearGaussian(), observations(1).expand(REPETITIONS, 3), DRAWS, "radii")
    allowed = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / REPETITIONS)
    assert missed_share(prepared, radius=True) <= allowed
    assert missed_share(prepared, radius=False) > allowed
