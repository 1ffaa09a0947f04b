"""Attacks on ensembles whose members are sure of different labels."""

import pytest
import torch
from attacked_digits import attacked_accuracy, fit, linf, load
from torch import nn

from certibayes.attacks.softened import Softened, softened
from certibayes.bnn.predictive import Predictive
from certibayes.config.attacks import PGD

RADIUS = 0.06


@pytest.fixture(scope="module")
def members():
    """Three networks, each fitted to own 60 digits: they disagree on others."""
    x, y = load()
    found = []
    for seed in range(3):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
        some = torch.randperm(1_200)[:60]
        fit(network, x[some], y[some], 100)
        found.append(network)
    return found, x[1_300:1_400], y[1_300:1_400]


def ensemble(networks, scale):
    """Return their predictive with all logits multiplied: no member changes its decision."""
    weights = {
        name: torch.stack([network.get_parameter(name).detach() for network in networks])
        * (scale if name.startswith("2.") else 1.0)
        for name, _ in networks[0].named_parameters()
    }
    return Predictive(networks[0], weights).eval().requires_grad_(False)


def accuracy_under_attack(model, x, y, restarts):
    return attacked_accuracy(PGD(steps=30, restarts=restarts, **linf(RADIUS)), model, x, y)


def test_certainty_of_the_members_hides_no_gradient(members):
    networks, x, y = members
    sure = ensemble(networks, 1_000.0)
    before = x.clone().requires_grad_()
    logits = sure(before).logits
    (slope,) = torch.autograd.grad(logits.gather(-1, y.unsqueeze(-1)).sum(), before)
    assert (slope == 0).all(-1).double().mean() > 0.3
    alone, both = (accuracy_under_attack(sure, x, y, restarts) for restarts in (1, 2))
    unsure = accuracy_under_attack(ensemble(networks, 1.0), x, y, 2)
    assert alone > unsure + 0.05
    assert both < unsure + 0.05


def test_no_member_is_sure_at_the_clean_observations(members):
    networks, x, _ = members
    model = ensemble(networks, 1_000.0)
    logits = model.sample_logits(x) / Softened(model, x).temperature
    first, second = logits.topk(2, -1).values.unbind(-1)
    torch.testing.assert_close((first - second).mean(0), torch.ones(len(x)))


def test_other_models_and_unsure_ensembles_stay_as_they_are(members):
    networks, x, _ = members
    alone = ensemble(networks[:1], 1_000.0)
    assert softened(alone, x) is alone
    flat = ensemble(networks, 0.01)
    torch.testing.assert_close(softened(flat, x)(x).logits, flat(x).logits)
