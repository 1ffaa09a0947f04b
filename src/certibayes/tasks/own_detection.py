"""Find out how a user's simulator wants to be called: by trying, never by guessing from its code.

A batched function is preferred. It must give n rows for two batch sizes, neither of which is the
dimension of theta, and one row for one; rows of equal theta must differ if x is random, and a row
may change with its own theta alone. Otherwise a function that takes one theta serves; if none
does, or if only the random numbers of its rows depend on each other, the batched one is called with
one row at a time.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from certibayes.config.errors import ConfigError
from certibayes.config.simulators.own import Convention
from certibayes.tasks.own_calls import Simulate
from certibayes.tasks.own_module import said, where
from certibayes.tasks.own_trial import MIXED, ORDERED, Accepted, IrreproducibleError, Trial

log = logging.getLogger(__name__)
TRIES = 10
"""Draws of thetas for each way: a simulator may raise at some theta."""
BATCHED: tuple[Convention, ...] = ("batched_numpy", "batched_torch")
SINGLE: tuple[Convention, ...] = ("single_numpy", "single_torch")
NOT_REPRODUCIBLE = (
    "simulate gave two different x for the same theta and seed, so that no shard could be made "
    "again; allowed: randomness from the global generators of random, numpy.random or torch, or "
    "from an argument seed, rng or generator (not default_rng() without a seed, nor the clock)"
)
AMBIGUOUS = (
    "simulate takes one theta, and gives {single} numbers, as well as many, and gives {batched} "
    "numbers for each; allowed: a study that states convention, one of {conventions}"
)


@dataclass(frozen=True)
class Found:
    """How a simulator is called.

    Attributes:
        convention: what it is given.
        x_shape: of one x, before it is flattened.
        one_row: whether it is given one row at a time.
        note: why so, if it takes batches.
    """

    convention: Convention
    x_shape: tuple[int, ...]
    one_row: bool
    note: str = ""


def find_convention(
    function: Callable[..., Any],
    draw: Callable[[int, int], Tensor],
    dtype: torch.dtype,
    wanted: Convention | None,
    limit: float | None,
    path: Path,
) -> Found:
    """Return how `simulate` is called.

    Args:
        function: the user's `simulate`.
        draw: returns n thetas, shape (n, theta_dim), for n and a seed.
        dtype: of theta in torch.
        wanted: the convention that the study states, or None.
        limit: seconds that one call may take, or None.
        path: the user's file, for messages.

    Raises:
        ConfigError: if no way works, listing what each gave; if x is not reproducible; or if two
            ways work, give another number of values and neither is known to be wrong.
    """
    attempts = _Attempts(function, draw, dtype, limit, path)
    if wanted is not None:
        accepted = attempts.accepted(wanted, check_rows=False)
        if accepted is None:
            raise attempts.failure()
        return Found(wanted, accepted.x_shape, one_row=wanted in SINGLE)
    batched = attempts.best(BATCHED)
    if batched is not None and not batched[1].dependence:
        return Found(batched[0], batched[1].x_shape, one_row=False)
    single = attempts.best(SINGLE)
    if single is not None and (
        batched is None or batched[1].dependence == MIXED or _size(single[1]) == _size(batched[1])
    ):
        return Found(single[0], single[1].x_shape, one_row=True)
    if single is not None and batched is not None and batched[1].dependence == ORDERED:
        raise ConfigError(f"{path}: {_ambiguous(single, batched)}")
    if batched is not None:
        return Found(batched[0], batched[1].x_shape, one_row=True, note=batched[1].dependence)
    raise attempts.failure()


class _Attempts:
    def __init__(
        self,
        function: Callable[..., Any],
        draw: Callable[[int, int], Tensor],
        dtype: torch.dtype,
        limit: float | None,
        path: Path,
    ) -> None:
        self.simulate = Simulate(function, "batched_numpy", dtype)
        self.draw, self.limit, self.path = draw, limit, path
        self.refused: dict[str, str] = {}
        self.ways, self.seconds = 0, 0.0

    def best(self, conventions: tuple[Convention, ...]) -> tuple[Convention, Accepted] | None:
        """Return NumPy if NumPy comes back, else torch if it works, else NumPy if it does."""
        found: list[tuple[Convention, Accepted]] = []
        for convention in conventions:
            accepted = self.accepted(convention, check_rows=True)
            if accepted is not None and accepted.same_kind:
                return convention, accepted
            if accepted is not None:
                found.append((convention, accepted))
        return found[-1] if found else None

    def accepted(self, convention: Convention, check_rows: bool) -> Accepted | None:
        """Return what a way gives, or None if it fails at all draws of thetas.

        All tries that fail may take one limit per way so far: a way that hangs is given up at
        once, unless the ways before it failed fast.
        """
        log.info("%s: trying %s", self.path, convention)
        self.ways += 1
        simulate = replace(self.simulate, convention=convention)
        for number in range(TRIES):
            trial = Trial(simulate, partial(self._draw, number), self.limit, number)
            started = time.monotonic()
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    return trial.run(check_rows)
            except IrreproducibleError:
                raise ConfigError(f"{self.path}: {NOT_REPRODUCIBLE}") from None
            except (Exception, SystemExit) as error:  # noqa: BLE001 -- a user's code may raise anything
                self.refused[convention] = f"{where(self.path, error)}: {said(error)}"
            self.seconds += time.monotonic() - started
            if self.limit is not None and self.seconds >= self.ways * self.limit:
                break
        return None

    def _draw(self, seed: int, n: int) -> Tensor:
        return self.draw(n, seed)

    def failure(self) -> ConfigError:
        """Return the error that lists what each way gave."""
        lines = [f"  {convention}: {text}" for convention, text in self.refused.items()]
        allowed = "a function of theta that gives one x per theta in one of these ways"
        return ConfigError("\n".join([f"{self.path}: simulate; allowed: {allowed}", *lines]))


def _ambiguous(single: tuple[Convention, Accepted], batched: tuple[Convention, Accepted]) -> str:
    return AMBIGUOUS.format(
        single=_size(single[1]),
        batched=_size(batched[1]),
        conventions=f"{single[0]} and {batched[0]}",
    )


def _size(accepted: Accepted) -> int:
    return int(torch.Size(accepted.x_shape).numel())
