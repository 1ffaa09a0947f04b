"""How well attacked observations are told from clean ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from torch import Tensor

FEWEST = 8
"""Observations below which no score is fitted."""


@dataclass(frozen=True)
class DetectionAt:
    """Area under the ROC curve of two scores: 0.5 = not told apart, 1 = always.

    Attributes:
        nearest: distance to the nearest reference observation, in standard deviations of the
            features.
        ellipsoid: Mahalanobis distance, the covariance shrunk (Ledoit and Wolf, 2004).
    """

    nearest: float
    ellipsoid: float


def detection_at(clean: Tensor, attacked: Tensor, reference: Tensor | None) -> DetectionAt | None:
    """Score attacked observations against clean ones.

    The scores know clean observations alone, no attack. Without a reference the observations are
    split in two by turns, and each part, clean and attacked, is scored by the other. Reference
    observations that are among the clean ones are left out: these would be recognized.

    Args:
        clean: shape (batch, x_dim).
        attacked: shape (batch, x_dim), row by row from `clean`.
        reference: further clean observations, shape (n, x_dim).

    Returns:
        The areas; None if there are too few observations.
    """
    if reference is not None:
        for one in clean:
            reference = reference[(reference != one).any(1)]
    least = len(clean) if reference is None else len(reference)
    if least < FEWEST or len(clean) < 2:
        return None
    if reference is not None:
        scored = [_scores(reference, clean, attacked)]
    else:
        even, odd = slice(0, None, 2), slice(1, None, 2)
        scored = [
            _scores(clean[other], clean[own], attacked[own])
            for own, other in ((even, odd), (odd, even))
        ]
    clean_scores, attacked_scores = (torch.cat(part, 1) for part in zip(*scored, strict=True))
    labels = [0] * clean_scores.shape[1] + [1] * attacked_scores.shape[1]
    both = torch.cat((clean_scores, attacked_scores), 1).numpy()
    return DetectionAt(*(float(roc_auc_score(labels, row)) for row in both))


def _scores(reference: Tensor, *observations: Tensor) -> tuple[Tensor, ...]:
    """Return the two scores of every set, shape (2, batch)."""
    std = reference.std(0)
    unit = std.where(std > 0, 1.0)
    known = reference / unit
    fitted = LedoitWolf().fit(known.numpy())
    return tuple(
        torch.stack(
            (
                torch.cdist(x / unit, known).amin(1),
                torch.as_tensor(fitted.mahalanobis((x / unit).numpy())),
            )
        )
        for x in observations
    )
