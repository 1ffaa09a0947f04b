"""Whether the density of a network trained elsewhere can be bounded, and what prevents it."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from certibayes.certificates.log_density_bounds import lower_log_density
from certibayes.estimators.foreign import ForeignEstimator
from certibayes.seeding import generator
from certibayes.threat import Ball

PROBES = 4
TOLERANCE = 1e-6
_MODULE = re.compile(r"got (?:the activation |a )?(\w+)")


def reason_against(model: ForeignEstimator, x: Tensor) -> str | None:
    """Return why the network cannot be bounded, or None.

    Bounds at radius 0 are the density itself: if they differ from it, a module computes something
    else than its type says.

    Args:
        model: around the network, float64.
        x: observations, shape (batch, x_dim), float64.
    """
    theta = model(x[:1]).draw(PROBES, generator("audit", "bound probe"))
    with torch.no_grad():
        log_prob = model(x[:1]).log_prob(theta)
    ball = Ball("linf", x.new_zeros(x.shape[1]))
    try:
        bound = lower_log_density("crown_ibp", model, theta, x[:1], ball)
    except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
        return str(error)
    if not torch.allclose(bound, log_prob, rtol=TOLERANCE, atol=TOLERANCE):
        return "module: got one that computes something else than its type says, no bound"
    return None


def module_named(reason: str) -> str:
    """Return the name of the module that a reason speaks of."""
    found = _MODULE.search(reason)
    return found[1] if found else reason.partition(":")[0]
