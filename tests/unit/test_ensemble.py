"""Ensembles of estimators and of weight samples: mixtures, their bounds, their refusals."""

import math

import pytest
import torch
from torch import nn

from certibayes import registry
from certibayes.bnn.predictive import Predictive
from certibayes.certificates.bound_rules import bound_rule
from certibayes.config.models import MAF, Gaussian
from certibayes.estimators.ensemble import EnsembleEstimator
from certibayes.metrics.kl import monte_carlo_kl
from certibayes.seeding import generator
from certibayes.threat import Ball

REAL = torch.distributions.constraints.real_vector
SPECS = {"gaussian": Gaussian(hidden=(8,)), "maf": MAF(hidden=8, transforms=2)}


def members_of(kind, count, spread=0.5):
    found = []
    for seed in range(count):
        torch.manual_seed(seed)
        member = registry.load("estimator", kind)(SPECS[kind], 2, 3, REAL).double()
        with torch.no_grad():
            for parameter in member.parameters():
                parameter.add_(spread * torch.randn_like(parameter))
        found.append(member.eval().requires_grad_(False))
    return found


def data(batch=4):
    return torch.randn(batch, 3, generator=generator("x")).double()


@pytest.mark.parametrize("kind", SPECS)
def test_density_is_the_mean_of_the_members_densities(kind):
    members, x = members_of(kind, 3), data()
    ensemble = EnsembleEstimator(members)
    theta = ensemble(x).draw(50, generator("theta"))
    expected = torch.stack([member(x).log_prob(theta).exp() for member in members]).mean(0)
    torch.testing.assert_close(ensemble(x).log_prob(theta).exp(), expected)
    torch.testing.assert_close(ensemble.log_prob(theta[:, 1], x=x[1]).exp(), expected[:, 1])


def test_draws_come_from_every_member_equally_often():
    members = members_of("gaussian", 3, spread=0.0)
    with torch.no_grad():
        for shift, member in enumerate(members):
            member.head.weight.zero_()
            member.head.bias.zero_()
            member.head.bias[0] = -20.0 * shift
    draws = EnsembleEstimator(members).sample((6000,), x=data(1), generator=generator("draws"))
    origin = (draws[:, 0] * math.log(2) / 20).round()
    for member in range(3):
        share = (origin == member).double().mean()
        assert share == pytest.approx(1 / 3, abs=4 * math.sqrt(2 / 9 / 6000))


def test_gradients_of_a_divergence_reach_x():
    ensemble, x = EnsembleEstimator(members_of("maf", 2)), data()
    theta = ensemble(x).draw(8, generator("theta"))
    attacked = (x + 0.1).requires_grad_()
    (gradient,) = torch.autograd.grad(-ensemble(attacked).log_prob(theta).mean(), attacked)
    assert (gradient.abs().amax(-1) > 0).all()


@pytest.mark.parametrize("kind", SPECS)
def test_bounds_of_the_ensemble_enclose_those_that_its_members_allow(kind):
    """At most the largest, at least the least of the members' bounds; one member is itself."""
    members, x = members_of(kind, 3), data()
    ball = Ball("linf", torch.tensor([0.1, 0.05, 0.0]).double())
    theta = members[0](x).draw(5, generator("theta"))
    rule = registry.load("estimator_bounds", kind)
    whole = registry.load("estimator_bounds", "ensemble")
    bounds = [rule(member, theta, x, ball) for member in members]
    found = whole(EnsembleEstimator(members), theta, x, ball)
    assert (found.lower >= torch.stack([b.lower for b in bounds]).amin(0) - 1e-12).all()
    assert (found.upper <= torch.stack([b.upper for b in bounds]).amax(0) + 1e-12).all()
    alone = whole(EnsembleEstimator(members[:1]), theta, x, ball)
    torch.testing.assert_close(alone.lower, bounds[0].lower)
    torch.testing.assert_close(alone.upper, bounds[0].upper)


def test_no_point_of_the_ball_beats_the_bound_of_the_divergence():
    ensemble, x = EnsembleEstimator(members_of("gaussian", 3)), data()
    ball = Ball("l2", torch.tensor([0.3, 0.2, 0.4]).double())
    upper = registry.load("forward_kl_bounds", "ensemble")
    bound = upper(ensemble, x, ball)
    theta = ensemble(x).draw(4000, generator("theta"))
    log_prob = ensemble(x).log_prob(theta)
    for repeat in range(40):
        points = ball.project(x, x + 10 * (ball.sample(x, generator("points", repeat)) - x))
        reached = monte_carlo_kl(log_prob, ensemble(points).log_prob(theta))
        assert (reached.mean - 4 * reached.standard_error <= bound).all()
    torch.testing.assert_close(upper(ensemble, x, ball.scaled(0.0)), torch.zeros(4).double())


def test_an_ensemble_has_the_rules_of_its_members():
    flows = EnsembleEstimator(members_of("maf", 2))
    assert bound_rule("forward_kl_bounds", flows) is None
    assert bound_rule("log_density_graph", flows) is not None
    gaussians = EnsembleEstimator(members_of("gaussian", 2))
    assert bound_rule("forward_kl_bounds", gaussians) is not None


def test_members_that_do_not_fit_are_refused():
    gaussian, flow = members_of("gaussian", 1)[0], members_of("maf", 1)[0]
    with pytest.raises(ValueError, match="members: got 0"):
        EnsembleEstimator([])
    with pytest.raises(ValueError, match=r"members\.1: got MAFEstimator; allowed: Gaussian"):
        EnsembleEstimator([gaussian, flow])
    moved = members_of("gaussian", 2)[1]
    moved.x_scale.mul_(2)
    with pytest.raises(ValueError, match=r"members\.1\.x_scale: differs"):
        EnsembleEstimator([gaussian, moved])


def predictive(network, samples, seed):
    source = torch.Generator().manual_seed(seed)
    weights = {
        name: torch.randn(samples, *values.shape, generator=source)
        for name, values in network.named_parameters()
    }
    return Predictive(network, weights)


def test_joined_predictives_predict_the_mean():
    network = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4))
    parts, x = [predictive(network, 2, seed) for seed in range(3)], torch.randn(6, 3)
    joined = Predictive.joined(parts)
    assert joined.samples == 6
    torch.testing.assert_close(joined(x).probs, torch.stack([p(x).probs for p in parts]).mean(0))
    with pytest.raises(ValueError, match=r"parts\.1: got 3 samples; allowed: 2"):
        Predictive.joined([parts[0], predictive(network, 3, 0)])


def test_parts_with_other_buffers_cannot_be_joined():
    networks = [nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 4)) for _ in range(2)]
    networks[1][0].running_mean.add_(1)
    with pytest.raises(ValueError, match=r"parts\.1\.0\.running_mean: differs"):
        Predictive.joined([predictive(network, 2, 0) for network in networks])
