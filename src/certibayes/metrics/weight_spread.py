"""Whether a posterior of weights is spread out or has collapsed to one network."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def disagreement(probabilities: Tensor) -> Tensor:
    """Return the share of pairs of different weight samples that predict different labels.

    1 - sum_k n_k (n_k - 1) / (S (S - 1)), n_k the samples whose most probable class is k; an
    unbiased estimate for two independent draws of the weights.

    Args:
        probabilities: of every weight sample, shape (samples, batch, classes).

    Returns:
        Shape (batch,), float64; 0 with one sample.
    """
    samples, _, classes = probabilities.shape
    if samples == 1:
        return torch.zeros(probabilities.shape[1], dtype=torch.float64)
    votes = torch.nn.functional.one_hot(probabilities.argmax(-1), classes).sum(0).double()
    return 1 - (votes * (votes - 1)).sum(-1) / (samples * (samples - 1))


def predictive_std(probabilities: Tensor) -> Tensor:
    """Return the std over weight samples of the probability of the ensemble's label, (batch,).

    Args:
        probabilities: of every weight sample, shape (samples, batch, classes).

    Returns:
        Shape (batch,); 0 with one sample.
    """
    if len(probabilities) == 1:
        return torch.zeros_like(probabilities[0, :, 0])
    label = probabilities.mean(0).argmax(-1)
    own = probabilities.gather(-1, label.expand(len(probabilities), -1).unsqueeze(-1))
    return own.squeeze(-1).std(0)


def relative_std(weights: Iterable[Tensor]) -> float:
    """Return the median over all weights of |std / mean| over weight samples; 0 with one sample.

    Args:
        weights: one tensor per parameter, shape (samples, *parameter shape). A weight that is 0 in
            every sample has no ratio and is left out.
    """
    ratios = []
    for values in weights:
        if len(values) == 1:
            return 0.0
        ratios.append((values.std(0) / values.mean(0)).abs().flatten())
    every = torch.cat(ratios)
    return float(every[~every.isnan()].median())
