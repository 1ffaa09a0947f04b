"""Calibration of a classifier's confidence."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.metrics.accuracy import correct


def expected_calibration_error(probabilities: Tensor, labels: Tensor, bins: int) -> float:
    """Return sum_b (n_b / n) |accuracy_b - confidence_b| over equal bins of the confidence.

    Confidence is the largest probability; bin b is ((b - 1) / bins, b / bins] (Guo et al., 2017).

    Args:
        probabilities: predictive probabilities, shape (batch, classes).
        labels: true labels, shape (batch,), int64.
        bins: number of bins, at least 1.

    Returns:
        The error, in [0, 1].

    Raises:
        ValueError: if bins < 1 or there is no prediction.
    """
    if bins < 1 or len(labels) == 0:
        raise ValueError(f"got bins={bins}, {len(labels)} predictions; allowed: at least 1 each")
    confidence = probabilities.double().amax(-1)
    index = (confidence * bins).ceil().long().sub(1).clamp(0, bins - 1)
    gap = correct(probabilities, labels).double() - confidence
    per_bin = torch.zeros(bins, dtype=torch.float64).index_add(0, index, gap)
    return float(per_bin.abs().sum() / len(labels))
