"""Divergences are those before the bijection: a support that saturates costs them nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import constraints

from certibayes.attacks.closed_form import gaussian_kl
from certibayes.attacks.forward_kl import ForwardKL
from certibayes.attacks.reverse_kl import ReverseKL
from certibayes.defenses.divergence import differentiable_kl
from certibayes.estimators.gaussian import GaussianPosterior
from certibayes.estimators.mixture import GaussianMixturePosterior
from certibayes.estimators.mixture_posterior import MixturePosterior
from certibayes.estimators.theta_map import ThetaMap
from certibayes.estimators.unconstrained import unconstrained
from certibayes.seeding import generator

BOX = constraints.independent(constraints.interval(torch.zeros(2), torch.ones(2)), 1)
MEANS = (1.0, 10.0, 25.0)
STD = 0.3


def gaussian(mean: Tensor) -> GaussianPosterior:
    """N((mean, 0), 0.09 I) before the bijection onto the unit square."""
    theta_map = ThetaMap(BOX, mean.new_zeros(2), mean.new_ones(2))
    factor = (torch.eye(2) / STD).expand(len(mean), 2, 2).to(mean)
    return GaussianPosterior(theta_map, factor, -torch.stack((mean, 0 * mean), -1) / STD)


def one_component(mean: Tensor) -> GaussianMixturePosterior:
    same = gaussian(mean)
    factor, offset = same.precision_factor.unsqueeze(1), same.offset.unsqueeze(1)
    return GaussianMixturePosterior(same.theta_map, factor, offset, mean.new_zeros(len(mean), 1))


def ensemble(mean: Tensor) -> MixturePosterior:
    return MixturePosterior([one_component(mean), one_component(mean)], mean.new_zeros(1, 2))


@pytest.mark.parametrize("build", [one_component, ensemble])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_divergences_of_saturated_posteriors_are_those_of_the_closed_form(build, dtype):
    mean = torch.tensor(MEANS, dtype=dtype)
    clean, attacked = build(0 * mean), build(mean)
    exact = gaussian_kl(gaussian(mean), gaussian(0 * mean))
    for objective in (ReverseKL(), ForwardKL()):
        value = objective.prepare(clean, None, 4000, generator("draws"))(attacked)
        torch.testing.assert_close(value, exact, rtol=0.02, atol=0.02)
    value = differentiable_kl(attacked, clean, 4000, generator("draws"))
    torch.testing.assert_close(value, exact, rtol=0.02, atol=0.1)


@pytest.mark.parametrize("build", [gaussian, one_component, ensemble])
def test_theta_is_the_bijection_of_the_unconstrained_draws(build):
    posterior = build(torch.tensor([0.0, 0.5], dtype=torch.float64))
    free = unconstrained(posterior)
    u = free.draw(50, generator("draws"))
    theta = posterior.draw(50, generator("draws"))
    bijection = posterior.theta_map.bijection(u)
    torch.testing.assert_close(bijection(u), theta)
    log_det = bijection.log_abs_det_jacobian(u, theta)
    log_det = log_det.sum(-1) if bijection.domain.event_dim == 0 else log_det
    torch.testing.assert_close(posterior.log_prob(theta), free.log_prob(u) - log_det)


def test_the_posterior_itself_is_left_as_it_is():
    posterior = ensemble(torch.zeros(1))
    unconstrained(posterior)
    assert posterior.support is BOX
    assert all(one.support is BOX for one in posterior.components)
