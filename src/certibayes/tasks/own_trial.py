"""One way to call a user's simulator, tried on a few draws of the prior."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from certibayes.tasks.own_calls import Simulate, is_of, numbers
from certibayes.tasks.own_limit import time_limit
from certibayes.tasks.own_random import seeded

SIZES = (3, 4, 2)
"""Batch sizes to try, the first two that differ from theta_dim."""
SEEDS = (11, 12, 13, 14)
"""Of the calls of the first try; every other try has others."""
OTHERS = 16
SHARED = "rows of equal theta get the same random numbers"
MIXED = "a row of x changes when the theta of another row does"
ORDERED = "a row of x changes when the theta of another row before it does"


class RejectedError(ValueError):
    """A way to call a simulator that does not give one x per theta."""


class IrreproducibleError(ValueError):
    """A simulator that gives two different x for the same theta and seed."""


@dataclass(frozen=True)
class Accepted:
    """A way to call a simulator that gives one x per theta.

    Attributes:
        x_shape: of one x.
        same_kind: whether x is a tensor exactly if theta is.
        dependence: why rows of one call depend on each other, or empty.
    """

    x_shape: tuple[int, ...]
    same_kind: bool
    dependence: str = ""


@dataclass(frozen=True)
class Trial:
    """Tries one way to call a simulator.

    Attributes:
        simulate: the function with the way to call it.
        draw: returns n thetas, shape (n, theta_dim).
        limit: seconds that one call may take, or None.
        number: of the try, from 0, which decides the seeds.
    """

    simulate: Simulate
    draw: Callable[[int], Tensor]
    limit: float | None
    number: int = 0

    def run(self, check_rows: bool) -> Accepted:
        """Return what one call gives.

        Args:
            check_rows: find out whether the rows of a batch depend on each other.

        Raises:
            RejectedError: if the results are not one x per theta.
            IrreproducibleError: if the same theta and seed give two different x.
            Exception: whatever the simulator raises, TimeoutError after the limit.
        """
        accepted = self._batched() if self.simulate.batched else self._single()
        theta = self.draw(self._sizes()[0]) if self.simulate.batched else self.draw(1)[0]
        if not same(self._x(theta), self._x(theta)):
            raise IrreproducibleError
        if not (check_rows and self.simulate.batched):
            return accepted
        dependence = self._mixes(theta) or (SHARED if self._shares(theta) else "")
        return Accepted(accepted.x_shape, accepted.same_kind, dependence)

    def x_of_one(self) -> np.ndarray:
        """Return x of one theta of the prior, of the shape that the simulator gives it."""
        theta = self.draw(1)
        return self._x(theta if self.simulate.batched else theta[0])

    @property
    def _seeds(self) -> tuple[int, ...]:
        return tuple(seed + self.number * len(SEEDS) for seed in SEEDS)

    def _batched(self) -> Accepted:
        shapes = []
        for n in (*self._sizes(), 1):
            value = self._call(self.draw(n), self._seeds[0])
            x = numbers(value)
            shape = x.shape[1:] if n > 1 or x.shape[:1] == (1,) else x.shape
            if n > 1 and x.shape[:1] != (n,):
                raise RejectedError(f"got shape {x.shape} for {n} thetas; allowed: ({n}, ...)")
            shapes.append(shape)
            if int(np.prod(shape)) != int(np.prod(shapes[0])):
                raise RejectedError(f"got x of shape {shape} and {shapes[0]}; allowed: one shape")
        return Accepted(shapes[0], is_of(value, self.simulate.convention))

    def _single(self) -> Accepted:
        one, other = self.draw(2)
        value = self._call(one, self._seeds[0])
        first = numbers(value).shape
        second = self._x(other).shape
        if first != second:
            raise RejectedError(f"got x of shape {first} and {second}; allowed: one shape")
        return Accepted(first, is_of(value, self.simulate.convention))

    def _sizes(self) -> tuple[int, int]:
        theta_dim = self.draw(1).shape[1]
        first, second = [size for size in SIZES if size != theta_dim][:2]
        return first, second

    def _mixes(self, theta: Tensor) -> str:
        """Say whether a far theta in the last or first row changes rows before or after it."""
        x = self._x(theta)
        others = self.draw(OTHERS)
        for row, dependence in ((len(theta) - 1, MIXED), (0, ORDERED)):
            altered = theta.clone()
            distance = ((others - theta[row]) / others.std(0)).square().sum(1)
            altered[row] = others[distance.argmax()]
            kept = np.arange(len(theta)) != row
            if not same(self._x(altered)[kept], x[kept]):
                return dependence
        return ""

    def _shares(self, theta: Tensor) -> bool:
        """Tell whether noise is drawn once for all rows: rows of equal theta have equal x.

        All values, or values that take another number with every seed, as continuous noise does.
        """
        rows = theta[:1].expand(len(theta), -1)
        x = np.stack([self._x(rows, seed).reshape(len(rows), -1) for seed in self._seeds])
        shared = ((x == x[:, :1]) | np.isnan(x)).all((0, 1))
        distinct = np.array([len(np.unique(column)) for column in x[:, 0].T])
        every, some = distinct == len(self._seeds), distinct > 1
        return bool((shared & every).any() or (shared.all() and some.any()))

    def _x(self, theta: Tensor, seed: int | None = None) -> np.ndarray:
        return numbers(self._call(theta, self._seeds[0] if seed is None else seed))

    def _call(self, theta: Tensor, seed: int) -> object:
        with time_limit(self.limit), seeded(seed):
            return self.simulate(theta, seed)


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether two arrays are equal, NaN where NaN is."""
    return np.array_equal(one, other, equal_nan=True)
