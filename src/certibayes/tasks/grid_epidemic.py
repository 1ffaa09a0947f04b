"""One step of a stochastic epidemic on a square grid, for a batch of grids."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad


class Epidemic(NamedTuple):
    """The state of every cell, each of shape (n, height, width), bool.

    Attributes:
        susceptible: never infected so far.
        infected: infected, including cells that recovered in the last step.
        recovered: recovered at any earlier step; such a cell leaves `infected` one step later.
    """

    susceptible: Tensor
    infected: Tensor
    recovered: Tensor


def start(infected: Tensor) -> Epidemic:
    """Return the state in which the given cells are infected and all others susceptible.

    Args:
        infected: shape (n, height, width), bool.
    """
    return Epidemic(~infected, infected, torch.zeros_like(infected))


def advance(state: Epidemic, contact: Tensor, recovery: Tensor, uniform: Tensor) -> Epidemic:
    """Return the state one step later; a grid without infected cells does not change.

    A susceptible cell is infected if c beta / 8 > U, c the number of infected cells among itself
    and its eight neighbors (none outside the grid); an infected cell recovers if gamma > U. No cell
    is both, so one U serves both rules. Rules: Gloeckler, Deistler and Macke (2023).

    Args:
        state: the state before the step.
        contact: beta, shape (n,).
        recovery: gamma, shape (n,).
        uniform: U, uniform in [0, 1), shape (n, height, width), or (1, height, width) to share it
            between grids.
    """
    pressure = (contact / 8)[:, None, None] * count_around(state.infected)
    newly_infected = state.susceptible & (pressure > uniform)
    newly_recovered = state.infected & (recovery[:, None, None] > uniform)
    return Epidemic(
        state.susceptible & ~newly_infected,
        (state.infected & ~state.recovered) | newly_infected,
        state.recovered | newly_recovered,
    )


def count_around(cells: Tensor) -> Tensor:
    """Count true cells in every 3 x 3 neighborhood, center included; (n, h, w), uint8."""
    padded = pad(cells.to(torch.uint8), (1, 1, 1, 1))
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
