"""The worst case between an attack and a bound (MTL-IBP, De Palma et al., 2024)."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.config.defenses import RobustLikelihood
from certibayes.defenses.inner_maximum import inner_maximum
from certibayes.defenses.worst_case import Neighborhood
from certibayes.defenses.worst_case_interval import interval_lower


def worst_case(
    spec: RobustLikelihood, at: Neighborhood, grown: float, generator: torch.Generator
) -> Tensor:
    """Return alpha * bound + (1 - alpha) * log q(target | x'); see `WorstCase`.

    alpha = `bound_weight` times `grown`; the bound is that of intervals, a lower bound of the worst
    case, and x' is what projected steps find, an upper one.
    """
    share = spec.bound_weight * grown
    if share == 1:
        return interval_lower(at.model, at.target, at.x, at.ball)
    attacked = inner_maximum(
        at.model,
        at.x,
        lambda q: -q.log_prob(at.target),
        at.ball,
        spec.steps,
        spec.step_size,
        generator,
    )
    found: Tensor = at.model(attacked).log_prob(at.target)
    if share == 0:
        return found
    return share * interval_lower(at.model, at.target, at.x, at.ball) + (1 - share) * found
