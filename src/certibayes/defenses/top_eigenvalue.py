"""The largest eigenvalue of I(x): the worst direction instead of the sum over directions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Categorical

from certibayes.config.defenses import Fisher
from certibayes.defenses.information import Place, expectation, outcomes, scores


def top_eigenvalue(place: Place, spec: Fisher, generator: torch.Generator) -> Tensor:
    """Return the largest eigenvalue of the mean over y ~ q(. | x) of s s^T, shape (batch,).

    KL(q(. | x) || q(. | x + std * delta)) <= lambda ||delta||_2^2 / 2 to second order. The matrix
    over n outcomes shares its eigenvalues with their n x n Gram matrix, and the smaller of the two
    is decomposed. Over draws of theta the eigenvalue is biased upwards (convexity); for
    classifiers it is exact. lambda is the mean of (u . s)^2 with u the eigenvector, and its
    gradient is that of this mean with u held fixed.

    Args:
        place: where.
        spec: draws, and how gradients know of them.
        generator: source of the draws.

    Raises:
        TypeError: if q is neither a Categorical nor a Posterior.
    """
    value = outcomes(place.q, spec.draws, spec.draw_gradient, generator)
    log, score = scores(place, value)
    labels = isinstance(place.q, Categorical)
    weight = log.detach().exp() if labels else torch.full_like(log.detach(), 1 / len(value))
    weighted = (weight.sqrt().unsqueeze(-1) * score.detach()).transpose(0, 1)
    along = (score * _top_direction(weighted)).sum(-1).square()
    return expectation(along, log, place.q, spec.draw_gradient)


def _top_direction(rows: Tensor) -> Tensor:
    """Return the first right singular vector, shape (batch, d), of rows, shape (batch, n, d).

    From the smaller of the two Gram matrices; 0 where all rows are.
    """
    n, d = rows.shape[-2:]
    if n > d:
        return torch.linalg.eigh(rows.mT @ rows).eigenvectors[..., -1]
    vectors = torch.linalg.eigh(rows @ rows.mT).eigenvectors
    direction = (vectors[..., -1].unsqueeze(-2) @ rows).squeeze(-2)
    length = torch.linalg.vector_norm(direction, dim=-1, keepdim=True)
    return direction / length.clamp(min=torch.finfo(length.dtype).tiny)
