"""C2ST between equal, shifted and separated distributions."""

from __future__ import annotations

import pytest
import torch
from sklearn.model_selection import KFold
from sklearn.neural_network import MLPClassifier
from torch import Tensor
from torch.distributions import Normal

from certibayes.metrics.c2st import c2st
from certibayes.seeding import generator


def draws(name: str, shift: float, n: int = 600, dim: int = 3) -> Tensor:
    values = torch.randn(n, dim, generator=generator(name, shift))
    values[:, 0] += shift
    return values


@pytest.mark.parametrize("shift", [0.0, 1.0, 8.0])
def test_accuracy_is_that_of_the_best_classifier(shift):
    best = float(Normal(0.0, 1.0).cdf(torch.tensor(shift / 2)))
    assert c2st(draws("a", 0.0), draws("b", shift), seed=1) == pytest.approx(best, abs=0.05)


def test_sees_a_difference_in_dependence_alone():
    a = draws("a", 0.0, dim=2)
    b = draws("b", 0.0, dim=2)
    b = torch.stack([b[:, 0], 0.95 * b[:, 0] + 0.05 * b[:, 1]], -1)
    b = b / b.std(0)
    assert c2st(a, b, seed=1) > 0.75


def test_is_fixed_by_the_seed_and_blind_to_units():
    a, b = draws("a", 0.0, 200), draws("b", 0.5, 200)
    first = c2st(a, b, seed=2**40 + 3)
    assert c2st(a, b, seed=2**40 + 3) == first
    unit = torch.tensor([1024.0, 2.0**-10, 1.0])
    assert c2st(a * unit, b * unit, seed=2**40 + 3) == pytest.approx(first, abs=0.03)


def test_a_constant_entry_is_no_obstacle():
    a, b = draws("a", 0.0, 200), draws("b", 0.0, 200)
    a[:, 1] = b[:, 1] = 3.0
    assert c2st(a, b, seed=0) == pytest.approx(0.5, abs=0.12)


def test_rejects_what_it_cannot_compare():
    good = draws("a", 0.0, 60)
    with pytest.raises(ValueError, match="equal shapes"):
        c2st(good, good[:55], seed=0)
    with pytest.raises(ValueError, match="finite"):
        c2st(good, torch.full_like(good, torch.nan), seed=0)


def test_without_early_stopping_it_is_the_protocol_of_sbibm():
    """Written out anew: standardize by the reference, 5 shuffled folds, two layers of 10 * dim."""
    a, b = draws("a", 0.0, 150, 2), draws("b", 0.7, 150, 2)
    data = torch.cat([(part - a.mean(0)) / a.std(0) for part in (a, b)]).double().numpy()
    labels = torch.arange(300).div(150, rounding_mode="floor").numpy()
    scores = []
    for train, test in KFold(5, shuffle=True, random_state=1).split(data):
        classifier = MLPClassifier((20, 20), max_iter=10_000, random_state=1)
        scores.append(classifier.fit(data[train], labels[train]).score(data[test], labels[test]))
    assert c2st(a, b, seed=1, early_stopping=False) == pytest.approx(sum(scores) / 5)
    assert c2st(a, b, seed=1) != c2st(a, b, seed=1, early_stopping=False)
