"""Pairs that stay in their shards' files: memory-mapped, copied a few megabytes at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from certibayes.io import load_array
from certibayes.rows import Pair, Rows, blocks

READ_BYTES = 2**25
"""Batches are read together up to this size: more rows per mapped page, hence fewer page faults."""
WINDOW_BYTES = 2**25
"""Part of a file that is mapped at once: pages count as resident memory until they are unmapped."""


class MappedRows:
    """Some rows of a series of shards of equal size; nothing but their row numbers is in memory.

    Values are float32, labels int64, whatever else the files hold. A read sorts its rows by place,
    maps one window of one file after the other, copies what it needs and unmaps the window.
    """

    def __init__(
        self, shards: Sequence[tuple[Path, Path]], shard_size: int, rows: np.ndarray
    ) -> None:
        """Take rows of shards.

        Args:
            shards: npy files of target and of x of every shard, C order.
            shard_size: rows of a shard; the last may have fewer.
            rows: row numbers over all shards, shape (n,).

        Raises:
            ValueError: if the files of two shards hold rows of different shapes, or in another
                order than C.
        """
        targets, observations = zip(*shards, strict=True)
        self._rows = rows
        self._target = _Column(targets, shard_size)
        self._x = _Column(observations, shard_size)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self._rows)

    @property
    def nbytes(self) -> int:
        """Bytes that all pairs take in memory."""
        return len(self) * self._row_bytes

    @property
    def _row_bytes(self) -> int:
        return self._target.row_bytes + self._x.row_bytes

    def in_memory(self) -> Rows:
        """Return the same pairs, read once."""
        none = self.batch(torch.arange(0))
        parts = [none, *blocks(self, max(READ_BYTES // self._row_bytes, 1))]
        target, x = zip(*parts, strict=True)
        return Rows(torch.cat(target), torch.cat(x))

    def batch(self, index: Tensor) -> Pair:
        """Return the pairs of the given numbers, shape (n,), in that order, in memory."""
        rows = self._rows[index.numpy()]
        order = rows.argsort()
        rows = rows[order]
        return self._target.read(rows, order), self._x.read(rows, order)

    def batches(self, order: Tensor, size: int) -> Iterator[Pair]:
        """Yield the pairs of the given numbers in that order, `size` at a time.

        Every batch owns its memory, as one of `Rows` does: kernels may depend on alignment.
        """
        together = size * max(READ_BYTES // (size * self._row_bytes), 1)
        for start in range(0, len(order), together):
            target, x = self.batch(order[start : start + together])
            for first in range(0, len(x), size):
                batch = slice(first, first + size)
                yield target[batch].clone(), x[batch].clone()


@dataclass(frozen=True)
class _File:
    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int

    @staticmethod
    def of(path: Path) -> _File:
        """Read where the rows of an .npy start; ValueError if it is none or in Fortran order."""
        array = load_array(path, mapped=True)
        assert isinstance(array, np.memmap)
        if not array.flags.c_contiguous:
            raise ValueError(f"{path}: got an array in Fortran order; allowed: C order")
        return _File(path, array.dtype, array.shape, array.offset)

    def window(self, first: int, rows: int) -> np.memmap:
        """Map at most `rows` rows from row `first` on into memory."""
        row = self.shape[1:]
        offset = self.offset + first * prod(row) * self.dtype.itemsize
        shape = (min(rows, self.shape[0] - first), *row)
        return np.memmap(self.path, self.dtype, "r", offset, shape)


class _Column:
    def __init__(self, paths: Sequence[Path], shard_size: int) -> None:
        self._files = [_File.of(path) for path in paths]
        self._shard_size = shard_size
        first = self._files[0]
        for file in self._files:
            if file.shape[1:] != first.shape[1:]:
                raise ValueError(
                    f"{file.path}: got rows of shape {file.shape[1:]}; "
                    f"allowed: {first.shape[1:]}, as in {first.path}"
                )
        self._row = first.shape[1:]
        self._dtype = np.dtype(np.int64 if first.dtype.kind in "iu" else np.float32)
        self.row_bytes = prod(self._row) * self._dtype.itemsize

    @cached_property
    def _window(self) -> int:
        return max(WINDOW_BYTES // self.row_bytes, 1)

    def read(self, rows: np.ndarray, places: np.ndarray) -> Tensor:
        """Return ascending rows, the i-th at places[i]."""
        values = np.empty((len(rows), *self._row), self._dtype)
        shard, local = np.divmod(rows, self._shard_size)
        window = local // self._window
        new = (np.diff(shard) != 0) | (np.diff(window) != 0)
        edges = [0, *(np.flatnonzero(new) + 1).tolist(), len(rows)]
        for low, high in pairwise(edges):
            if low < high:
                first = int(window[low]) * self._window
                mapped = self._files[shard[low]].window(first, self._window)
                values[places[low:high]] = mapped[local[low:high] - first]
        return torch.from_numpy(values)
