"""The worst-case likelihood of an ensemble: the same by shared differences as by each image's."""

import pytest
import torch
from torch import nn

from certibayes.bnn import predictive_bounds
from certibayes.bnn.predictive import Predictive
from certibayes.threat import Ball

CLASSES, PIXELS, IMAGES, SAMPLES = 4, 6, 9, 3


@pytest.fixture
def predictive():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(PIXELS, 5), nn.ReLU(), nn.Linear(5, CLASSES)).double()
    weights = {
        name: torch.randn(SAMPLES, *weight.shape, dtype=torch.float64).requires_grad_()
        for name, weight in network.named_parameters()
    }
    return Predictive(network, weights)


@pytest.fixture
def batch():
    torch.manual_seed(1)
    return torch.randint(CLASSES, (IMAGES,)), torch.rand(IMAGES, PIXELS, dtype=torch.float64)


def lower(predictive, batch, epsilon):
    labels, x = batch
    ball = Ball("linf", torch.full((PIXELS,), epsilon, dtype=torch.float64), (0.0, 1.0))
    return predictive_bounds.log_likelihood_lower(predictive, labels, x, ball)


def test_shared_differences_change_no_bound_and_no_gradient(monkeypatch, predictive, batch):
    found = []
    for classes in (CLASSES, CLASSES - 1):
        monkeypatch.setattr(predictive_bounds, "SHARED_CLASSES", classes)
        bound = lower(predictive, batch, 0.1)
        weights = tuple(predictive.weight_samples.values())
        found.append((bound, *torch.autograd.grad(bound.sum(), weights)))
    for shared, own in zip(*found, strict=True):
        torch.testing.assert_close(shared, own, rtol=1e-12, atol=1e-12)


def test_radius_zero_is_the_likelihood_itself(predictive, batch):
    labels, x = batch
    exact = predictive(x).log_prob(labels)
    torch.testing.assert_close(lower(predictive, batch, 0.0), exact, rtol=1e-10, atol=1e-10)


def test_no_point_of_the_ball_has_a_lower_likelihood(predictive, batch):
    labels, x = batch
    bound = lower(predictive, batch, 0.1)
    for _ in range(200):
        moved = (x + 0.1 * (2 * torch.rand_like(x) - 1).sign()).clamp(0, 1)
        assert bool((predictive(moved).log_prob(labels) >= bound - 1e-9).all())
