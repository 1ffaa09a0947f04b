"""Spread and uncertainty of ensembles against values by hand."""

import math

import pytest
import torch

from certibayes.metrics.uncertainty import auroc, entropy, likelihood_ratio, mutual_information
from certibayes.metrics.weight_spread import disagreement, predictive_std, relative_std


def one_hot(*labels):
    return torch.eye(3, dtype=torch.float64)[torch.tensor(labels)].unsqueeze(1)


def test_disagreement_counts_pairs_of_different_samples():
    votes = one_hot(0, 0, 0, 1)
    assert float(disagreement(votes)[0]) == pytest.approx(3 / 6)
    assert float(disagreement(one_hot(2, 2, 2))[0]) == 0
    assert float(disagreement(one_hot(0, 1, 2))[0]) == pytest.approx(1)
    assert float(disagreement(one_hot(1))[0]) == 0


def test_predictive_std_is_that_of_the_label_of_the_mean():
    p = torch.tensor([[[0.6, 0.4]], [[0.8, 0.2]]], dtype=torch.float64)
    assert float(predictive_std(p)[0]) == pytest.approx(0.2 / math.sqrt(2))
    assert float(predictive_std(p[:1])[0]) == 0


def test_relative_std_is_a_median_without_weights_that_are_always_zero():
    first = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    second = torch.tensor([[10.0, -2.0], [10.0, -4.0]])
    root = math.sqrt(2)
    assert relative_std([first, second]) == pytest.approx(sorted([root / 2, 0, root / 3])[1])
    assert relative_std([first[:1]]) == 0


def test_entropy_splits_into_what_weights_and_labels_say():
    agree = torch.full((4, 1, 2), 0.5, dtype=torch.float64)
    assert float(entropy(agree.mean(0))) == pytest.approx(math.log(2))
    assert float(mutual_information(agree)) == pytest.approx(0, abs=1e-12)
    opposed = torch.eye(2, dtype=torch.float64).unsqueeze(1)
    assert float(mutual_information(opposed)) == pytest.approx(math.log(2))


def test_auroc_is_the_share_of_ordered_pairs():
    inside, outside = torch.tensor([0.1, 0.4, 0.4]), torch.tensor([0.4, 0.9])
    by_hand = sum((o > i) + 0.5 * (o == i) for i in inside for o in outside) / 6
    assert auroc(inside, outside) == pytest.approx(float(by_hand))
    assert auroc(outside, inside) == pytest.approx(1 - float(by_hand))
    for bad in (torch.zeros(0), torch.tensor([math.nan])):
        with pytest.raises(ValueError, match="allowed"):
            auroc(inside, bad)


def test_likelihood_ratio_compares_the_largest_probabilities():
    inside = torch.tensor([[0.9, 0.1], [0.7, 0.3]])
    outside = torch.tensor([[0.4, 0.6]])
    assert likelihood_ratio(inside, outside) == pytest.approx(0.6 / 0.8)
