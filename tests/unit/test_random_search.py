"""Random search on a classifier of images, where gradients are masked and where they are not."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from certibayes import registry
from certibayes.bnn.predictive import Predictive
from certibayes.config.attacks import PGD, RandomSearch
from certibayes.threat import Ball

RADIUS = 0.12


class Staircase(nn.Module):
    """Pixels rounded to 17 values: no gradient passes."""

    def forward(self, x):
        return (16 * x).round() / 16


@pytest.fixture(scope="module")
def digits():
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16).float(), torch.tensor(labels)
    torch.manual_seed(0)
    layers = [nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)]
    network = nn.Sequential(nn.Identity(), *layers)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x[:1_200]), y[:1_200]).backward()
        optimizer.step()
    return network, nn.Sequential(Staircase(), *layers), x[1_300:1_500], y[1_300:1_500]


def predictive(network):
    weights = {name: value.detach()[None] for name, value in network.named_parameters()}
    return Predictive(network, weights).eval().requires_grad_(False)


def accuracy(network, x, y, kind):
    common = {
        "objective": "margin",
        "perturbation": {"norm": "linf", "unit": "raw", "epsilons": [RADIUS]},
    }
    specs = {"pgd": PGD(steps=50, restarts=1, **common), "random_search": RandomSearch(**common)}
    attack, objective = (
        registry.load("attack", kind)(specs[kind]),
        registry.load("objective", "margin")(),
    )
    ball = Ball("linf", torch.full((64,), RADIUS), (0.0, 1.0))
    model = predictive(network)
    found = attack.attack(model, x, y, objective, ball, 1)
    return float((model(found.x).probs.argmax(-1) == y).double().mean())


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
    spec = RandomSearch(
        objective="margin",
        perturbation={"norm": "linf", "unit": "raw", "epsilons": [RADIUS]},
    )
    radius = torch.full((64,), RADIUS)
    radius[::2] = 0.0
    objective = registry.load("objective", "margin")()
    attack = registry.load("attack", "random_search")(spec)
    found = attack.attack(predictive(network), x, y, objective, Ball("linf", radius), 1)
    assert torch.equal(found.x[:, ::2], x[:, ::2])
    assert (found.x != x).any(-1).double().mean() > 0.9
