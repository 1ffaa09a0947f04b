"""Labels that a model itself finds likely."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution


def drawn_labels(predictive: Distribution, generator: torch.Generator) -> Tensor:
    """Return one label per observation, drawn on the CPU without gradient, shape (batch,).

    Args:
        predictive: over labels, batch shape (batch,).
        generator: source of the draws, on the CPU.

    Raises:
        TypeError: if the predictive is not over labels.
        FloatingPointError: if a probability is not finite.
    """
    if not isinstance(predictive, Categorical):
        raise TypeError(
            f"predictive: got {type(predictive).__name__}; allowed: a distribution over labels"
        )
    probabilities = predictive.probs.detach()
    if not torch.isfinite(probabilities).all():
        raise FloatingPointError("probabilities of drawn labels: got nan; allowed: finite numbers")
    drawn: Tensor = torch.multinomial(probabilities.cpu(), 1, generator=generator).squeeze(-1)
    return drawn.to(probabilities.device)
