"""Foreign inputs: which ones, and what tells them from a model's own."""

from types import SimpleNamespace

import pytest
import torch

from certibayes.stages.evaluate_outside import foreign_inputs, outside_columns
from certibayes.tasks.digits import Digits

JOB = SimpleNamespace(study_seed=3, task="mine")


def test_permuted_inputs_have_the_same_values_in_other_places():
    x = torch.rand(4, 64, dtype=torch.float64)
    found = foreign_inputs(JOB, "permuted", x)
    assert not torch.equal(found, x)
    assert torch.equal(found.sort(1).values, x.sort(1).values)
    assert torch.equal(found, foreign_inputs(JOB, "permuted", x))


def test_a_data_set_gives_its_first_test_inputs():
    x = torch.zeros(4, 64, dtype=torch.float64)
    _, digits = Digits.__new__(Digits).test_set(slice(4))
    assert torch.equal(foreign_inputs(JOB, "digits", x), digits)


def test_an_ensemble_that_disagrees_outside_detects_it():
    sure = torch.tensor([[[0.9, 0.1], [0.8, 0.2]]] * 2, dtype=torch.float64)
    torn = torch.tensor([[[0.9, 0.1]], [[0.1, 0.9]]], dtype=torch.float64)
    found = outside_columns(sure, torn)
    assert found["outside_entropy_auroc"] == 1
    assert found["outside_information_auroc"] == 1
    assert found["outside_likelihood_ratio"] == pytest.approx(0.5 / 0.85)
    assert outside_columns(sure, None) == {}
