"""What the first observations of an attack aim at."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from certibayes.attacks.base import ConditionalModel, Objective, Target


class _FirstRows:
    """A model that leaves out all but the first rows of what it is called with."""

    def __init__(self, model: ConditionalModel, rows: int) -> None:
        self._model, self._rows = model, rows

    def __call__(self, x: Tensor) -> Distribution:
        return self._model(x[: self._rows])


def first_targets(
    objective: Objective,
    model: ConditionalModel,
    x: Tensor,
    truth: Tensor,
    prior: Tensor,
    generator: torch.Generator,
    rows: int,
) -> Target:
    """Return what the first observations aim at when all of them are attacked.

    A distribution cannot be cut: the objective aims again, at the first rows alone.

    Args:
        objective: what is maximised.
        model: the attacked model.
        x: all observations, shape (batch, x_dim).
        truth: see `Objective.aim`.
        prior: see `Objective.aim`.
        generator: source of random choices, as seeded for all observations.
        rows: how many observations count.
    """
    before = generator.get_state()
    target = objective.aim(model, x, truth, prior, generator)
    if isinstance(target, Tensor):
        return target[:rows]
    if target is None:
        return None
    generator.set_state(before)
    return objective.aim(_FirstRows(model, rows), x, truth, prior, generator)
