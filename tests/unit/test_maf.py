"""The flow's fast passes against nflows' own."""

import pytest
import torch
from torch.distributions import constraints

from certibayes.config.models import MAF
from certibayes.estimators.maf import MAFEstimator

REAL = constraints.independent(constraints.real, 1)


@pytest.mark.parametrize("theta_dim", [1, 2, 7])
@pytest.mark.parametrize("transforms", [1, 3])
@pytest.mark.parametrize(("hidden", "blocks"), [(3, 1), (20, 2)])
def test_fast_passes_equal_nflows(theta_dim, transforms, hidden, blocks):
    torch.manual_seed(0)
    spec = MAF(transforms=transforms, hidden=hidden, blocks=blocks)
    estimator = MAFEstimator(spec, theta_dim, 5, REAL).double().requires_grad_(False)
    x, v = torch.randn(9, 5).double(), torch.randn(9, theta_dim).double()
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


def test_gradients_of_sampling_equal_those_of_the_implicit_function():
    torch.manual_seed(0)
    estimator = MAFEstimator(MAF(transforms=2, hidden=12), 3, 5, REAL).double()
    x = torch.randn(1, 5).double()
    noise = torch.randn(1, 3).double()
    theta = estimator(x).transport(noise)
    by_x = torch.autograd.functional.jacobian(lambda t: estimator(t).transport(noise)[0], x)
    through_theta = torch.autograd.functional.jacobian(
        lambda t: estimator(x).noise_of(t)[0], theta
    ).squeeze(1)
    through_x = torch.autograd.functional.jacobian(
        lambda t: estimator(t).noise_of(theta)[0], x
    ).squeeze(1)
    expected = -torch.linalg.solve(through_theta, through_x)
    torch.testing.assert_close(by_x.squeeze(1), expected)
