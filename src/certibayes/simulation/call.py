"""One call of a simulator: seeded, and everything that user code may raise caught."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.simulation.tally import Reason
from certibayes.tasks.base import PosteriorTask
from certibayes.tasks.own_errors import WrongShapeError
from certibayes.tasks.own_random import seeded

DETAIL_LENGTH = 200


@dataclass(frozen=True)
class FailedCall:
    """A call that gave no x at all.

    Attributes:
        reason: why.
        detail: one line for people, e.g. type and message of the exception.
        traceback: of the exception, or empty.
    """

    reason: Reason
    detail: str
    traceback: str = ""


def call(task: PosteriorTask, theta: Tensor, seed: int) -> Tensor | FailedCall:
    """Simulate x, shape (n, x_dim), float64, from one seed.

    The generator and the global random states of Python, NumPy and torch start from the seed, for
    a user's simulator may draw from any of them; the global ones are put back afterwards.

    Args:
        task: the simulator.
        theta: parameters, shape (n, theta_dim).
        seed: 63 bits.
    """
    try:
        with seeded(seed):
            x = task.simulate(theta.clone(), torch.Generator().manual_seed(seed))
    except WrongShapeError as error:
        return FailedCall("wrong_shape", _one_line(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- a user's code may raise anything
        return FailedCall("exception", _one_line(error), traceback.format_exc())
    return _checked(x, (len(theta), task.x_dim))


def _checked(x: object, shape: tuple[int, int]) -> Tensor | FailedCall:
    if isinstance(x, Tensor) and x.shape == shape and x.is_floating_point():
        return x.detach().double()
    got = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
    return FailedCall("wrong_shape", f"got {got}; allowed: floating point {shape}")


def _one_line(error: BaseException) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= DETAIL_LENGTH else f"{text[: DETAIL_LENGTH - 3]}..."
