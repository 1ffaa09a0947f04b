"""Random search on a classifier of images, where gradients are masked and where they are not."""

import pytest
import torch
from attacked_digits import attacked, attacked_accuracy, fit, linf, load
from torch import nn

from certibayes.bnn.predictive import Predictive
from certibayes.config.attacks import PGD, RandomSearch
from certibayes.threat import Ball

RADIUS = 0.12
SEARCH = RandomSearch(**linf(RADIUS))


class Staircase(nn.Module):
    """Pixels rounded to 17 values: no gradient passes."""

    def forward(self, x):
        return (16 * x).round() / 16


@pytest.fixture(scope="module")
def digits():
    x, y = load()
    torch.manual_seed(0)
    layers = [nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)]
    network = nn.Sequential(nn.Identity(), *layers)
    fit(network, x[:1_200], y[:1_200], 150)
    return network, nn.Sequential(Staircase(), *layers), x[1_300:1_500], y[1_300:1_500]


def predictive(network):
    weights = {name: value.detach()[None] for name, value in network.named_parameters()}
    return Predictive(network, weights).eval().requires_grad_(False)


def accuracy(network, x, y, kind):
    specs = {"pgd": PGD(steps=50, restarts=1, **linf(RADIUS)), "random_search": SEARCH}
    return attacked_accuracy(specs[kind], predictive(network), x, y)


def test_it_comes_near_an_attack_by_gradients(digits):
    network, _, x, y = digits
    clean = float((network(x).argmax(-1) == y).double().mean())
    by_gradients = accuracy(network, x, y, "pgd")
    assert by_gradients < clean - 0.4
    assert accuracy(network, x, y, "random_search") < by_gradients + 0.25 * (clean - by_gradients)


def test_it_finds_what_masked_gradients_hide(digits):
    _, stairs, x, y = digits
    assert accuracy(stairs, x, y, "random_search") < accuracy(stairs, x, y, "pgd") - 0.5


def test_features_that_must_not_move_stay(digits):
    network, _, x, y = digits
    radius = torch.full((64,), RADIUS)
    radius[::2] = 0.0
    found = attacked(SEARCH, predictive(network), x, y, Ball("linf", radius))
    assert torch.equal(found[:, ::2], x[:, ::2])
    assert (found != x).any(-1).double().mean() > 0.9
