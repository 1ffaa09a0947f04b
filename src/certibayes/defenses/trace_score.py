"""tr I(x) by the squared score over draws (Gloeckler et al., 2023)."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.config.defenses import Fisher
from certibayes.defenses.information import Place, expectation, outcomes, scores


def score_trace(place: Place, spec: Fisher, generator: torch.Generator) -> Tensor:
    """Return the mean over y ~ q(. | x) of ||std * d log q(y | x) / dx||^2, shape (batch,).

    Unbiased for posteriors; exact for classifiers, whose labels are enumerated.

    Args:
        place: where.
        spec: draws, and how gradients know of them.
        generator: source of the draws.

    Raises:
        TypeError: if q is neither a Categorical nor a Posterior.
    """
    value = outcomes(place.q, spec.draws, spec.draw_gradient, generator)
    log, score = scores(place, value)
    return expectation(score.square().sum(-1), log, place.q, spec.draw_gradient)
