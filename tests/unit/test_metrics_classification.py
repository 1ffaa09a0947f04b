"""Accuracy and expected calibration error of constructed predictions."""

from __future__ import annotations

import pytest
import torch

from certibayes.metrics.accuracy import accuracy, correct
from certibayes.metrics.calibration import expected_calibration_error
from certibayes.seeding import generator


def binary(confidence: torch.Tensor) -> torch.Tensor:
    return torch.stack([confidence, 1 - confidence], -1)


def test_accuracy_counts_the_most_probable_class():
    probabilities = torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])
    labels = torch.tensor([1, 2, 2])
    assert correct(probabilities, labels).tolist() == [True, False, True]
    assert accuracy(probabilities, labels) == pytest.approx(2 / 3)


def test_ece_of_constructed_bins():
    """10 at confidence 0.95, 8 right; 30 at 0.75, 24 right: (10 * 0.15 + 30 * 0.05) / 40."""
    confidence = torch.tensor([0.95] * 10 + [0.75] * 30, dtype=torch.float64)
    labels = torch.tensor([0] * 8 + [1] * 2 + [0] * 24 + [1] * 6)
    assert expected_calibration_error(binary(confidence), labels, 10) == pytest.approx(0.075)


def test_ece_of_sure_predictions_is_the_error_rate():
    labels = torch.tensor([0, 0, 0, 1])
    assert expected_calibration_error(binary(torch.ones(4)), labels, 15) == pytest.approx(0.25)


def test_gaps_of_opposite_sign_cancel_within_a_bin_only():
    confidence = torch.tensor([0.6, 0.8], dtype=torch.float64)
    labels = torch.tensor([0, 1])
    wide = expected_calibration_error(binary(confidence), labels, 1)
    fine = expected_calibration_error(binary(confidence), labels, 10)
    assert wide == pytest.approx(abs(0.4 - 0.8) / 2)
    assert fine == pytest.approx((0.4 + 0.8) / 2)


def test_ece_of_calibrated_predictions_is_small():
    source = generator("ece")
    confidence = 0.5 + 0.5 * torch.rand(50_000, generator=source, dtype=torch.float64)
    wrong = torch.rand(50_000, generator=source, dtype=torch.float64) > confidence
    assert expected_calibration_error(binary(confidence), wrong.long(), 15) < 0.02


def test_ece_rejects_no_bins():
    with pytest.raises(ValueError, match="bins=0"):
        expected_calibration_error(binary(torch.ones(2)), torch.zeros(2, dtype=torch.long), 0)
