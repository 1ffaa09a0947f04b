"""Rows of the files that hold pairs simulated before; never more rows than asked for."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from certibayes.config.errors import ConfigError
from certibayes.config.simulators.own_files import PairsShape, first_row, theta_columns


def read_pairs(shape: PairsShape, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    """Return theta, shape (n, theta_dim), and x, shape (n, x_dim), float64.

    Raises:
        ConfigError: if a .csv holds something else than numbers.
    """
    first = shape.files[0]
    if shape.joined:
        names, table = read_csv(first, rows)
        parameters = np.array(theta_columns(names))
        return table[:, parameters], table[:, ~parameters]
    if first.suffix == ".npz":
        return _member(first, "theta", rows), _member(first, "x", rows)
    theta, x = (read_table(path, rows) for path in shape.files)
    return theta, x


def read_table(path: Path, rows: slice) -> np.ndarray:
    """Return rows of an .npy, mapped into memory, or of a .csv, flattened to (n, columns)."""
    if path.suffix == ".csv":
        return read_csv(path, rows)[1]
    array = np.load(path, mmap_mode="r", allow_pickle=False)[rows]
    return _flat(np.array(array, dtype=np.float64))


def read_csv(path: Path, rows: slice) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names in the header, if there is one, and rows of a .csv.

    Raises:
        ConfigError: if a cell is not a number.
    """
    import pandas as pd

    with path.open(encoding="utf-8-sig") as file:
        first, is_header = first_row(file.readline())
    names = first if is_header else ()
    try:
        table = pd.read_csv(
            path,
            header=None,
            names=range(len(first)),
            index_col=False,
            skiprows=bool(names) + rows.start,
            nrows=rows.stop - rows.start,
            dtype=np.float64,
            encoding="utf-8-sig",
        )
    except pd.errors.EmptyDataError:
        return names, np.empty((0, len(first)))
    except ValueError as error:
        raise ConfigError(f"folder: {path}: {error}; allowed: numbers") from None
    return names, table.to_numpy(copy=True)


def _member(path: Path, name: str, rows: slice) -> np.ndarray:
    """Return rows of one array of an .npz, read from where they start."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        shape, by_columns, dtype = _header(file)
        if by_columns:
            file.seek(0)
            array = np.lib.format.read_array(file, allow_pickle=False)[rows]
            return _flat(np.array(array, dtype=np.float64))
        rows = slice(*rows.indices(shape[0]))
        row_bytes = dtype.itemsize * int(np.prod(shape[1:]))
        file.seek(rows.start * row_bytes, 1)
        count = max(rows.stop - rows.start, 0)
        values = np.frombuffer(file.read(count * row_bytes), dtype=dtype)
        return _flat(values.reshape(count, *shape[1:]).astype(np.float64))


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)


def _flat(array: np.ndarray) -> np.ndarray:
    return array.reshape(len(array), int(np.prod(array.shape[1:])))
