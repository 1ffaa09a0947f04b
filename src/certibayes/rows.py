"""Training pairs: what training reads, and pairs that lie in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]
"""Targets (theta, shape (n, theta_dim), or labels, shape (n,)) and raw x, shape (n, x_dim)."""


class Pairs(Protocol):
    """Numbered training pairs of target and raw x."""

    def __len__(self) -> int:
        """Return the number of pairs."""
        ...

    def batch(self, index: Tensor) -> Pair:
        """Return the pairs of the given numbers, shape (n,), in that order, in memory."""
        ...

    def batches(self, order: Tensor, size: int) -> Iterator[Pair]:
        """Yield the pairs of the given numbers in that order, `size` at a time."""
        ...


@dataclass(frozen=True)
class Rows:
    """Pairs in memory.

    Attributes:
        target: theta, shape (n, theta_dim), or labels, shape (n,).
        x: raw observations, shape (n, x_dim).

    Raises:
        ValueError: if there are not as many targets as x.
    """

    target: Tensor
    x: Tensor

    def __post_init__(self) -> None:
        if len(self.x) != len(self.target):
            raise ValueError(
                f"rows: got {len(self.x)} x and {len(self.target)} targets; allowed: equally many"
            )

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.x)

    def batch(self, index: Tensor) -> Pair:
        """Return the pairs of the given numbers, shape (n,), in that order."""
        return self.target[index], self.x[index]

    def batches(self, order: Tensor, size: int) -> Iterator[Pair]:
        """Yield the pairs of the given numbers in that order, `size` at a time."""
        for start in range(0, len(order), size):
            yield self.batch(order[start : start + size])


@dataclass(frozen=True)
class MovedPairs:
    """Pairs of which every batch is copied to a device as it is read.

    Attributes:
        pairs: on the CPU.
        device: where batches go.
    """

    pairs: Pairs
    device: torch.device

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.pairs)

    def batch(self, index: Tensor) -> Pair:
        """Return the pairs of the given numbers, shape (n,), in that order."""
        return _moved(self.pairs.batch(index), self.device)

    def batches(self, order: Tensor, size: int) -> Iterator[Pair]:
        """Yield the pairs of the given numbers in that order, `size` at a time."""
        for pair in self.pairs.batches(order, size):
            yield _moved(pair, self.device)


def pairs_on(pairs: Pairs, device: torch.device) -> Pairs:
    """Return pairs whose batches lie on a device: those in memory are copied there, once."""
    if device.type == "cpu":
        return pairs
    if isinstance(pairs, Rows):
        return Rows(*_moved((pairs.target, pairs.x), device))
    return MovedPairs(pairs, device)


def _moved(pair: Pair, device: torch.device) -> Pair:
    target, x = pair
    return target.to(device), x.to(device)


def blocks(pairs: Pairs, size: int) -> Iterator[Pair]:
    """Yield all pairs by their numbers, `size` at a time."""
    for start in range(0, len(pairs), size):
        yield pairs.batch(torch.arange(start, min(start + size, len(pairs))))
