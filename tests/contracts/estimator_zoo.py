"""Small estimators with random weights, for every registered kind."""

from typing import get_args

import torch
from torch.distributions import constraints

from certibayes import registry
from certibayes.config.models import AnyEstimator

SPECS = {cls.model_fields["kind"].default: cls for cls in get_args(get_args(AnyEstimator)[0])}
REAL = constraints.independent(constraints.real, 1)
POSITIVE = constraints.independent(constraints.positive, 1)


def trained_here(kind):
    """Registered names of a kind without those that only foreign estimators have."""
    return [name for name in registry.names(kind) if name not in registry.FOREIGN]


VARIANTS = ("gaussian-diagonal", "mixture-full")
"""Kinds with a covariance that is not their default."""
ENSEMBLES = ("ensemble-mixture", "ensemble-maf", "ensemble-nsf")
"""Ensembles of what is not their default, Gaussians."""
KINDS = (*trained_here("estimator"), *VARIANTS)
BOUNDED = (*trained_here("estimator_bounds"), *VARIANTS)
GRAPHS = (*trained_here("log_density_graph"), *VARIANTS)


def estimator_of(kind, theta_dim=3, x_dim=4, support=REAL, seed=0, gain=1.0, **fields):
    """Weights are perturbed by `gain` standard deviations, buffers set to non-trivial values.

    An ensemble has two members, of the kind after the dash, else flows if the fields say so.
    """
    if kind.startswith("ensemble"):
        default = "maf" if "transforms" in fields else "gaussian"
        member = kind.partition("-")[2] or default
        return ensemble_of(member, 2, theta_dim, x_dim, support, seed, gain, **fields)
    kind, _, covariance = kind.partition("-")
    if covariance:
        fields["covariance"] = covariance
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


def ensemble_of(kind, members, theta_dim=3, x_dim=4, support=REAL, seed=0, gain=1.0, **fields):
    """Members of one kind with weights of their own and common locations and scales."""
    estimators = [
        estimator_of(kind, theta_dim, x_dim, support, seed + 1000 * member, gain, **fields)
        for member in range(members)
    ]
    for estimator in estimators[1:]:
        for name in ("x_location", "x_scale", "v_location", "v_scale"):
            getattr(estimator, name).copy_(getattr(estimators[0], name))
    return registry.load("estimator", "ensemble")(estimators)
