"""Standard errors of calibration errors and areas under ROC curves, by repetition."""

import pytest
import torch

from certibayes.metrics.auroc_error import auroc_standard_error
from certibayes.metrics.calibration import expected_calibration_error
from certibayes.metrics.calibration_error import calibration_standard_error
from certibayes.metrics.uncertainty import auroc
from certibayes.seeding import generator

REPETITIONS = 200


def scores(source):
    inside = torch.randn(60, generator=source, dtype=torch.float64)
    return inside, 0.8 + 1.5 * torch.randn(40, generator=source, dtype=torch.float64)


def test_auroc_error_is_the_spread_over_repetitions():
    source = generator("auroc")
    pairs = [scores(source) for _ in range(REPETITIONS)]
    found = torch.tensor([auroc(*pair) for pair in pairs])
    stated = torch.tensor([auroc_standard_error(*pair) for pair in pairs])
    assert float(stated.mean()) == pytest.approx(float(found.std()), rel=0.2)


def test_separated_scores_have_no_error():
    assert auroc_standard_error(torch.arange(3.0), torch.arange(3.0) + 5) == 0


def test_one_score_has_no_standard_error():
    with pytest.raises(ValueError, match="3 and 1 scores"):
        auroc_standard_error(torch.arange(3.0), torch.ones(1))


def predictions(source):
    confidence = 0.6 + 0.3 * torch.rand(200, generator=source, dtype=torch.float64)
    wrong = torch.rand(200, generator=source, dtype=torch.float64) > confidence - 0.2
    return torch.stack([confidence, 1 - confidence], -1), wrong.long()


def test_calibration_error_is_the_spread_over_repetitions():
    source = generator("ece")
    drawn = [predictions(source) for _ in range(REPETITIONS)]
    found = torch.tensor([expected_calibration_error(*one, 3) for one in drawn])
    stated = [calibration_standard_error(*one, 3, source) for one in drawn[:5]]
    assert sum(stated) / 5 == pytest.approx(float(found.std()), rel=0.3)
