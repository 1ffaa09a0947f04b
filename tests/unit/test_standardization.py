"""Locations and scales from training pairs."""

import pytest
import torch
from torch.distributions import constraints

from certibayes.config.models import Gaussian, Standardization
from certibayes.estimators.build import build_estimator
from certibayes.estimators.gaussian import GaussianEstimator
from certibayes.rows import Rows

POSITIVE = constraints.independent(constraints.positive, 1)


def fitted(theta, x, squash=False):
    spec = Gaussian(squash=squash)
    estimator = GaussianEstimator(spec, theta.shape[1], x.shape[1], POSITIVE).double()
    estimator.fit_standardization(Rows(theta, x))
    return estimator


def test_scales_are_robust_and_never_zero():
    torch.manual_seed(0)
    n = 20_001
    heavy = 2 * torch.randn(n).double() + 5
    heavy[: n // 10] = -200
    rare = torch.zeros(n).double()
    rare[: n // 10] = 1
    constant = torch.full((n,), 3.0).double()
    theta = (0.5 * torch.randn(n, 2) - 1).exp().double()
    estimator = fitted(theta, torch.stack((heavy, rare, constant), 1))
    assert estimator.x_location[0] == pytest.approx(5, abs=0.4)
    assert estimator.x_scale[0] == pytest.approx(2, rel=0.3)
    assert estimator.x_scale[1] == pytest.approx(0.3, rel=0.01)
    assert estimator.x_scale[2] == 1
    assert estimator.x_location[2] == 3
    torch.testing.assert_close(estimator.v_location, theta.log().mean(0))
    torch.testing.assert_close(estimator.v_scale, theta.log().std(0), rtol=1e-4, atol=0)


def test_a_thousand_gaussians_are_standardized():
    torch.manual_seed(0)
    x = 3 * torch.randn(40_000, 2).double() - 1
    standard = fitted(torch.rand(40_000, 1).double() + 0.1, x).standardize(x)
    torch.testing.assert_close(standard.std(0), torch.ones(2).double(), rtol=0.03, atol=0)
    torch.testing.assert_close(standard.mean(0), torch.zeros(2).double(), rtol=0, atol=0.03)


def test_squashing_tames_outliers():
    x = torch.randn(1001, 1).double()
    x[0] = -1e6
    theta = torch.rand(1001, 1).double() + 0.1
    assert fitted(theta, x).standardize(x).abs().max() > 1e5
    assert fitted(theta, x, squash=True).standardize(x).abs().max() < 16


@pytest.mark.parametrize("broken", ["theta", "x"])
def test_values_that_are_not_finite_are_named(broken):
    data = {"theta": torch.rand(10, 2) + 0.1, "x": torch.randn(10, 3)}
    data[broken][4, 1] = 0.0 if broken == "theta" else torch.nan
    with pytest.raises(ValueError, match=f"{broken}.*row 4 is not finite"):
        fitted(data["theta"], data["x"])


def test_build_from_a_task():
    from certibayes.config.tasks import GaussianLinearSbibm
    from certibayes.tasks.gaussian_linear_sbibm import GaussianLinearSbibm as Task

    task = Task(GaussianLinearSbibm())
    estimator = build_estimator(Gaussian(), task, task.x_dim)
    assert isinstance(estimator, GaussianEstimator)
    assert (estimator.theta_dim, estimator.x_dim) == (task.theta_dim, task.x_dim)


def test_moments_with_a_floor_as_published():
    torch.manual_seed(0)
    x = torch.randn(4_001, 3).double() * torch.tensor([2.0, 0.01, 0.0]) + 1
    estimator = GaussianEstimator(Gaussian(), 1, 3, POSITIVE).double()
    published = Standardization(preset="gloeckler2023")
    assert (published.by, published.floor) == ("moments", 0.05)
    estimator.fit_standardization(Rows(torch.rand(4_001, 1).double() + 0.1, x), published)
    torch.testing.assert_close(estimator.x_location, x.mean(0))
    expected = torch.tensor([float(x[:, 0].std(correction=0)), 0.05, 1.0]).double()
    torch.testing.assert_close(estimator.x_scale, expected, rtol=1e-6, atol=0)
