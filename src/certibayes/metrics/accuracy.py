"""Accuracy of a classifier."""

from __future__ import annotations

from torch import Tensor


def correct(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Tell whether the most probable class is the label, bool, shape (batch,).

    A prediction with a NaN is never correct.

    Args:
        probabilities: predictive probabilities, shape (batch, classes).
        labels: true labels, shape (batch,), int64.
    """
    return (probabilities.argmax(-1) == labels) & ~probabilities.isnan().any(-1)


def accuracy(probabilities: Tensor, labels: Tensor) -> float:
    """Return the share of predictions whose most probable class is the label; see `correct`."""
    return float(correct(probabilities, labels).double().mean())
