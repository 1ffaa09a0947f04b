"""Small estimators with random weights, for every registered kind."""

from typing import get_args

import torch
from torch.distributions import constraints

from certibayes import registry
from certibayes.config.models import AnyEstimator

SPECS = {cls.model_fields["kind"].default: cls for cls in get_args(get_args(AnyEstimator)[0])}
REAL = constraints.independent(constraints.real, 1)
POSITIVE = constraints.independent(constraints.positive, 1)
KINDS = registry.names("estimator")
BOUNDED = registry.names("estimator_bounds")


def estimator_of(kind, theta_dim=3, x_dim=4, support=REAL, seed=0, gain=1.0, **fields):
    """Weights are perturbed by `gain` standard deviations, buffers set to non-trivial values."""
    torch.manual_seed(seed)
    estimator = registry.load("estimator", kind)(
        SPECS[kind](**fields), theta_dim, x_dim, support
    ).double()
    with torch.no_grad():
        for parameter in estimator.parameters():
            parameter.add_(gain * 0.2 * torch.randn_like(parameter))
        estimator.x_location.copy_(torch.randn(x_dim))
        estimator.x_scale.copy_(0.5 + torch.rand(x_dim))
        estimator.v_location.copy_(0.3 * torch.randn(theta_dim))
        estimator.v_scale.copy_(0.5 + torch.rand(theta_dim))
    return estimator
