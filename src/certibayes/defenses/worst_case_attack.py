"""The worst case that an attack finds (Madry et al., 2018; Wicker et al., 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from certibayes.config.defenses import RobustLikelihood
from certibayes.defenses.inner_maximum import inner_maximum
from certibayes.defenses.worst_case import Neighborhood


def worst_case(
    spec: RobustLikelihood, at: Neighborhood, grown: float, generator: torch.Generator
) -> Tensor:
    """Return log q(target | x') at what projected steps find; see `WorstCase`.

    Never below the worst case: of the robust negative log-likelihood a lower bound, not a
    certified one.
    """
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
    return found
