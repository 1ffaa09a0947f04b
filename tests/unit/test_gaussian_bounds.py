"""Bounds that are attained: one theta, scale and offset moved by different features of x."""

import pytest
import torch
from torch.distributions import constraints, kl_divergence

from certibayes.config.models import Gaussian
from certibayes.estimators.gaussian import GaussianEstimator
from certibayes.estimators.gaussian_bounds import forward_kl_upper, log_density_bounds
from certibayes.threat import Ball

BALL = Ball("linf", torch.tensor([0.4, 0.7]).double())


@pytest.fixture
def estimator():
    support = constraints.independent(constraints.real, 1)
    estimator = GaussianEstimator(Gaussian(hidden=()), 1, 2, support).double()
    with torch.no_grad():
        estimator.head.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        estimator.head.bias.copy_(torch.tensor([0.2, 0.5]))
    return estimator.requires_grad_(False)


def grid(x):
    axis = torch.linspace(-1, 1, 41).double()
    return x + BALL.radius * torch.cartesian_prod(axis, axis)


@pytest.mark.parametrize("x", [(0.0, 0.0), (0.3, -2.0), (-1.0, 1.5)])
def test_worst_divergence_is_attained(estimator, x):
    x = torch.tensor([x]).double()
    reached = kl_divergence(estimator(x.expand(41**2, 2)).latent, estimator(grid(x)).latent)
    torch.testing.assert_close(forward_kl_upper(estimator, x, BALL), reached.max()[None])


@pytest.mark.parametrize("x", [(0.0, 0.0), (0.3, -2.0), (-1.0, 1.5)])
@pytest.mark.parametrize("theta", [-3.0, -0.2, 0.0, 2.0])
def test_worst_log_density_is_attained(estimator, x, theta):
    x, theta = torch.tensor([x]).double(), torch.tensor([[theta]]).double()
    reached = estimator(grid(x)).log_prob(theta.expand(41**2, 1))
    bounds = log_density_bounds(estimator, theta, x, BALL)
    torch.testing.assert_close(bounds.lower, reached.min()[None])
    assert reached.max() <= bounds.upper
