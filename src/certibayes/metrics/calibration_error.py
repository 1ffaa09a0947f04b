"""Standard error of the expected calibration error."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.metrics.accuracy import correct

RESAMPLES = 400


def calibration_standard_error(
    probabilities: Tensor, labels: Tensor, bins: int, generator: torch.Generator
) -> float:
    """Return the std of the expected calibration error over bootstrap samples (Efron, 1979).

    The bootstrap's mean lies above the error, whose bins add absolute values: its std is used, not
    its quantiles.

    Args:
        probabilities: predictive probabilities, shape (batch, classes).
        labels: true labels, shape (batch,), int64.
        bins: equal bins of the confidence, at least 1; see `expected_calibration_error`.
        generator: source of the bootstrap samples.
    """
    confidence = probabilities.double().amax(-1)
    index = (confidence * bins).ceil().long().sub(1).clamp(0, bins - 1)
    gap = correct(probabilities, labels).double() - confidence
    n = len(labels)
    found = []
    for _ in range(RESAMPLES):
        rows = torch.randint(n, (n,), generator=generator)
        sums = torch.zeros(bins, dtype=torch.float64).index_add(0, index[rows], gap[rows])
        found.append(sums.abs().sum() / n)
    return float(torch.stack(found).std())
