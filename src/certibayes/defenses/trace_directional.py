"""tr I(x) by finite differences of the log density along random directions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Categorical

from certibayes.config.defenses import Fisher
from certibayes.defenses.information import Place, expectation, outcomes


def directional_trace(place: Place, spec: Fisher, generator: torch.Generator) -> Tensor:
    """Return the mean of ((log q(y | x + h v) - log q(y | x - h v)) / 2h)^2, shape (batch,).

    v = unit * signs, fair and independent (Rademacher), so that the mean of (v . score)^2 is the
    trace of the information in that unit; the error of a finite h is O(h^2). Every draw of
    theta has a direction of its own; labels are enumerated along `draws` directions. x + h v may
    leave the clip range: it stands for a derivative at x, not for an attack.

    Args:
        place: where.
        spec: draws, and how gradients know of them.
        generator: source of draws and directions.

    Raises:
        TypeError: if q is neither a Categorical nor a Posterior.
    """
    value = outcomes(place.q, spec.draws, spec.draw_gradient, generator)
    signs = torch.randint(2, (spec.draws, *place.x.shape), generator=generator)
    move = place.step * place.std * (2 * signs - 1).to(place.x)
    points = torch.stack((place.x + move, place.x - move))
    at_points = place.model(points.flatten(0, 2))
    shape = (2, spec.draws, len(place.x))
    labels = isinstance(at_points, Categorical)
    if isinstance(at_points, Categorical):
        above, below = at_points.logits.log_softmax(-1).unflatten(0, shape)
        squared = ((above - below) / (2 * place.step)).square().mean(0).T
    else:
        above, below = at_points.log_prob(value.repeat(2, 1, 1).flatten(0, 1)).unflatten(0, shape)
        squared = ((above - below) / (2 * place.step)).square()
    needs_log = labels or spec.draw_gradient == "score_function"
    log = place.q.log_prob(value) if needs_log else torch.zeros_like(squared)
    return expectation(squared, log, place.q, spec.draw_gradient)
