"""Whether simulations of the posterior resemble the observation, clean and attacked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from certibayes.audit.cut import CutDraws
from certibayes.audit.errors import AuditError
from certibayes.metrics.predictive_distance import predictive_distance

SIMULATIONS = 50
"""Draws per observation that are simulated."""


def predicted_at(
    simulator: Callable[[Tensor], Any], draws: CutDraws, x: Tensor, unit: Tensor, seed: int
) -> Tensor:
    """Return the median l2 distance of simulations to the clean x, in units; shape (batch,).

    The global generators of torch and numpy are seeded.

    Args:
        simulator: maps theta, shape (n, theta_dim), to x, shape (n, x_dim); torch's default type.
        draws: of the posterior at x or at an attacked x'; those inside the support are simulated.
        x: clean observations, shape (batch, x_dim).
        unit: of every feature, shape (x_dim,).
        seed: of the simulations.

    Raises:
        AuditError: if the simulator returns another shape.
    """
    before = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        try:
            distances = [
                _distance(simulator, draws.theta[:, row][inside][:SIMULATIONS], one, unit)
                for row, (one, inside) in enumerate(
                    zip(x.split(1), draws.inside.unbind(1), strict=True)
                )
            ]
        finally:
            np.random.set_state(before)
    return torch.cat(distances)


def _distance(simulator: Callable[[Tensor], Any], theta: Tensor, x: Tensor, unit: Tensor) -> Tensor:
    if not len(theta):
        return x.new_full((1,), torch.nan)
    simulated = torch.as_tensor(simulator(theta.to(torch.get_default_dtype()))).double()
    if simulated.shape != (len(theta), x.shape[1]):
        raise AuditError(
            f"simulator: got shape {tuple(simulated.shape)} for theta of shape "
            f"{tuple(theta.shape)}; allowed: ({len(theta)}, {x.shape[1]})"
        )
    return predictive_distance(simulated.unsqueeze(1), x, unit).l2
