"""How uncertain the predictive of an ensemble is, and whether that tells foreign inputs apart."""

from __future__ import annotations

import torch
from scipy.stats import rankdata
from torch import Tensor


def entropy(probabilities: Tensor) -> Tensor:
    """Return -sum_k p_k log p_k over the last dimension, nats; 0 log 0 = 0."""
    return torch.special.entr(probabilities).sum(-1)


def mutual_information(probabilities: Tensor) -> Tensor:
    """Return what the label tells of the weights, H(mean p) - mean H(p), nats, (batch,).

    The part of the entropy of the mean predictive that is due to the weights (Houlsby et al.,
    2011); 0 with one weight sample.

    Args:
        probabilities: of every weight sample, shape (samples, batch, classes).
    """
    return (entropy(probabilities.mean(0)) - entropy(probabilities).mean(0)).clamp(min=0.0)


def auroc(inside: Tensor, outside: Tensor) -> float:
    """Return P(score outside > score inside) + P(equal) / 2: area under the ROC curve.

    The Mann-Whitney statistic: 0.5 is chance, 1 tells all foreign inputs from the model's own.

    Args:
        inside: scores of inputs like those of the training, shape (n,).
        outside: scores of foreign inputs, shape (m,).

    Raises:
        ValueError: if one of them is empty or a score is NaN.
    """
    if len(inside) == 0 or len(outside) == 0:
        raise ValueError(f"got {len(inside)} and {len(outside)} scores; allowed: at least 1 each")
    scores = torch.cat([inside, outside]).double()
    if bool(scores.isnan().any()):
        raise ValueError("scores: got NaN; allowed: numbers")
    ranks = rankdata(scores.cpu().numpy())
    m = len(outside)
    excess = float(ranks[len(inside) :].sum()) - m * (m + 1) / 2
    return excess / (len(inside) * m)


def likelihood_ratio(inside: Tensor, outside: Tensor) -> float:
    """Return the mean largest probability on foreign inputs over that on the model's own.

    Lower is better (Wicker et al., 2021); 1 where a model is as sure of foreign inputs.

    Args:
        inside: mean predictive probabilities, shape (n, classes).
        outside: likewise, shape (m, classes).
    """
    return float(outside.amax(-1).mean() / inside.amax(-1).mean())
