"""Benchmark tasks against reference posterior samples and observations of sbibm 1.1.0.

The files sbibm_<task>.npz are excerpts of that package (MIT, sbibm_LICENSE.txt): its ten
observations `x` with their true `theta`, and the first 600 reference `samples` of observation 1.
"""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import biject_to

from certibayes import registry
from certibayes.config.tasks import BUILT_IN

NAMES = (
    *("two_moons", "slcp", "gaussian_mixture", "gaussian_linear_sbibm", "bernoulli_glm"),
    *("lotka_volterra_sbibm", "sir_sbibm"),
)
STEPS = 60
CHAINS = 300
KS = 2.42 * math.sqrt(2 / CHAINS)
"""Critical value of the two-sample Kolmogorov-Smirnov distance at level 1.6e-5."""


def make(name):
    return registry.load("task", name)(BUILT_IN[name]())


def excerpt(name):
    with np.load(Path(__file__).parent / f"sbibm_{name}.npz") as arrays:
        return [torch.from_numpy(arrays[key]).double() for key in ("x", "theta", "samples")]


def distance(a, b):
    """Return the largest two-sample Kolmogorov-Smirnov distance over columns."""
    values = torch.cat((a, b)).T.contiguous()
    below = [
        torch.searchsorted(part.T.contiguous().sort(1).values, values, right=True) / len(part)
        for part in (a, b)
    ]
    return float((below[0] - below[1]).abs().max())


def after_metropolis(task, x, samples, strength):
    """Move half of the samples by steps that leave prior * likelihood^strength invariant.

    Proposals are differences of the other half's members (differential evolution) in
    unconstrained space. Returns moved samples and the other half.
    """
    torch.manual_seed(0)
    bijection = biject_to(task.prior.support)
    start, others = bijection.inv(samples).split(CHAINS)

    def log_density(v):
        theta = bijection(v)
        jacobian = bijection.log_abs_det_jacobian(v, theta).reshape(len(v), -1).sum(1)
        likelihood = task.log_likelihood(theta, x.expand(len(v), -1))
        return task.prior.log_prob(theta) + jacobian + strength * likelihood

    v, now = start, log_density(start)
    moves = 0.0
    for _ in range(STEPS):
        pair = torch.rand(CHAINS, CHAINS).argsort(1)[:, :2]
        reach = 10 ** (-2 * torch.rand(CHAINS, 1, dtype=torch.float64))
        proposal = v + reach * (others[pair[:, 0]] - others[pair[:, 1]])
        proposed = log_density(proposal)
        accepted = torch.rand(CHAINS).log() < proposed - now
        v = torch.where(accepted[:, None], proposal, v)
        now = torch.where(accepted, proposed, now)
        moves += float(accepted.double().mean())
    assert moves > 5, "chains hardly move: the comparison would be empty"
    return bijection(v), bijection(others)


def statistics(task, x, theta):
    """Return the columns that are compared: theta and the log-likelihood."""
    likelihood = task.log_likelihood(theta, x.expand(len(theta), -1))
    return torch.cat((theta, likelihood[:, None]), 1)


@pytest.mark.parametrize("name", NAMES)
def test_reference_samples_are_draws_of_our_posterior(name):
    """Steps that leave our posterior invariant leave their distribution as it is."""
    task = make(name)
    x, _, samples = excerpt(name)
    moved, others = after_metropolis(task, x[:1], samples, 1.0)
    assert distance(statistics(task, x[:1], moved), statistics(task, x[:1], others)) < KS


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("strength", [0.25, 4.0])
def test_the_comparison_notices_noise_of_another_size(name, strength):
    """A likelihood to the power 1/4 or 4 is like noise of twice or half the standard deviation."""
    task = make(name)
    x, _, samples = excerpt(name)
    moved, others = after_metropolis(task, x[:1], samples, strength)
    assert distance(statistics(task, x[:1], moved), statistics(task, x[:1], others)) > KS


@pytest.mark.parametrize("name", NAMES)
def test_reference_observations_are_plausible_under_our_simulator(name):
    """log p(x | theta) of the ten observations, ranked among our simulations, is uniform."""
    task = make(name)
    x, theta, _ = excerpt(name)
    assert x.shape == (10, task.x_dim)
    assert theta.shape == (10, task.theta_dim)
    n = 200
    many = theta.repeat_interleave(n, 0)
    simulated = task.simulate(many, torch.Generator().manual_seed(0))
    values = task.log_likelihood(many, simulated).view(10, n)
    observed = task.log_likelihood(theta, x)[:, None]
    rank = ((values < observed).double() + 0.5 * (values == observed)).mean(1)
    rank = rank.clamp(0.5 / n, 1 - 0.5 / n)
    fisher = -2 * rank.log().sum(), -2 * (1 - rank).log().sum()
    assert max(float(f) for f in fisher) < 53.0, "chi-square with 20 degrees of freedom, 1e-4"
