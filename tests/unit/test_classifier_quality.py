"""Likelihood and accuracy of predicted labels where floats end."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from certibayes.bnn.predictive import Predictive
from certibayes.metrics.accuracy import correct
from certibayes.stages.classifier_quality import quality_columns
from certibayes.stages.evaluate_weights import log_probabilities

JOB = SimpleNamespace(evaluation=SimpleNamespace(ece_bins=15), study_seed=0, task="mine")


def test_the_likelihood_of_a_label_that_seems_impossible_is_finite():
    """exp(-10000) is 0 in float64, its logarithm is not."""
    network = nn.Sequential(nn.Linear(1, 2))
    weights = {
        "0.weight": torch.zeros(2, 2, 1, dtype=torch.float64),
        "0.bias": torch.tensor([[1e4, 0.0]] * 2, dtype=torch.float64),
    }
    model = Predictive(network.double(), weights)
    labels = torch.tensor([1, 0, 0, 0])
    found = log_probabilities(model, torch.zeros(4, 1, dtype=torch.float64))
    columns = quality_columns(JOB, found, labels, correct(found, labels))
    assert columns["nll"] == pytest.approx(2_500.0)
    assert columns["nll_low"] < 2_500 < columns["nll_high"] < 1e4
    assert columns["accuracy"] == 0.75


def test_a_prediction_of_nan_is_never_correct():
    probabilities = torch.tensor([[torch.nan, 0.5], [0.9, 0.1], [torch.nan, torch.nan]])
    assert correct(probabilities, torch.zeros(3, dtype=torch.long)).tolist() == [False, True, False]
