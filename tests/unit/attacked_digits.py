"""Classifiers of the digits of scikit-learn under attack, without a study around them."""

import torch
from sklearn.datasets import load_digits
from torch import nn

from certibayes import registry
from certibayes.threat import Ball


def load():
    """Return all pixels in [0, 1], float32, and their labels."""
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images / 16).float(), torch.tensor(labels)


def fit(network, x, y, steps):
    """Train a network on all rows at once."""
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()


def linf(radius):
    """Return what the specification of a margin attack states of its aim and ball."""
    ball = {"norm": "linf", "unit": "raw", "epsilons": [radius]}
    return {"objective": "margin", "perturbation": ball}


def attacked(spec, model, x, y, ball):
    """Return the points that the attack of a specification finds."""
    attack, objective = (
        registry.load("attack", spec.kind)(spec),
        registry.load("objective", "margin")(),
    )
    return attack.attack(model, x, y, objective, ball, 1).x


def attacked_accuracy(spec, model, x, y):
    """Return the share that stays right in the ball of `linf`, pixels in [0, 1]."""
    radius = torch.full((64,), spec.perturbation.epsilons[-1])
    found = attacked(spec, model, x, y, Ball("linf", radius, (0.0, 1.0)))
    return float((model(found).probs.argmax(-1) == y).double().mean())
