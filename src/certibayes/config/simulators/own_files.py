"""Which files of a folder hold pairs simulated before, and their shapes, read without numpy."""

from __future__ import annotations

import ast
import csv
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import IO, TextIO

from certibayes.config.errors import ConfigError

THETA, X = "theta", "x"
ALLOWED = "theta.npy and x.npy, one .npz with theta and x, theta.csv and x.csv, or pairs.csv"
MAGIC = b"\x93NUMPY"
NUMBERS = "fiub"
"""Kinds of numpy's data types that are real numbers."""
SEPARATORS = {"';'": ";", "a tab": "\t", "a space": " "}
"""Of values in files that are not separated by commas, by what a message calls them."""


@dataclass(frozen=True)
class PairsShape:
    """Sizes of stored pairs.

    Attributes:
        files: one file that holds both, or those of theta and of x.
        rows: pairs.
        theta_dim: parameters.
        x_dim: features of x.
        theta_names: from the header of a .csv; empty if there is none.
    """

    files: tuple[Path, ...]
    rows: int
    theta_dim: int
    x_dim: int
    theta_names: tuple[str, ...] = ()

    @property
    def joined(self) -> bool:
        """Whether one .csv holds theta and x side by side."""
        return len(self.files) == 1 and self.files[0].suffix == ".csv"


@dataclass(frozen=True)
class Table:
    """Sizes of one array: rows, columns and, of a .csv, the names in its header."""

    rows: int
    columns: int
    names: tuple[str, ...] = ()


def pairs_files(folder: str) -> tuple[Path, ...]:
    """Return the file that holds theta and x, or the file of theta and the file of x.

    Raises:
        ConfigError: if there is no folder, nothing that can be read, or more than one choice.
    """
    root = Path(folder)
    if not root.is_dir():
        place = f"{root.resolve()}, relative to the folder in which the study runs"
        raise _refused(f"got {folder!r}, no such folder ({place}); allowed: one with {ALLOWED}")
    choices = [
        [(root / f"{THETA}{suffix}"), (root / f"{X}{suffix}")] for suffix in (".npy", ".csv")
    ]
    choices += [[root / "pairs.csv"]]
    choices += [[path] for path in sorted(root.glob("*.npz")) if path.name != "observed.npz"]
    found = [choice for choice in choices if all(path.is_file() for path in choice)]
    if len(found) == 1:
        return tuple(found[0])
    listed = sorted(path.name for choice in found for path in choice)
    if not found:
        listed = sorted(path.name for path in root.iterdir())[:8]
    got = ", ".join(listed) or "nothing"
    raise _refused(f"got {folder!r} with {got}; allowed: exactly one of {ALLOWED}")


def pairs_shape(folder: str) -> PairsShape:
    """Return the sizes of the pairs in a folder; only a .csv is read beyond its header.

    Raises:
        ConfigError: if the folder holds no pairs, or if theta and x do not fit together.
    """
    files = pairs_files(folder)
    return _shape(files, tuple(_stamp(path) for path in files))


def observed_file(folder: str) -> Path | None:
    """Return the file of real observations beside the pairs, or None."""
    for name in ("observed.npy", "observed.csv"):
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    return None


def theta_columns(names: Sequence[str]) -> list[bool]:
    """Tell which columns of pairs.csv are parameters: those called theta or theta_*."""
    return [name == THETA or name.startswith(f"{THETA}_") for name in names]


def _refused(text: str) -> ConfigError:
    return ConfigError(f"folder: {text}")


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return (status.st_mtime_ns, status.st_size)


@cache
def _shape(files: tuple[Path, ...], stamps: tuple[tuple[int, int], ...]) -> PairsShape:
    if files[0].suffix == ".npz":
        theta, x = _npz(files[0])
    elif len(files) == 1:
        return _joined(files)
    else:
        theta, x = (table_of(path) for path in files)
    if theta.rows != x.rows:
        raise _refused(
            f"{files[-1]}: got {x.rows} rows of x; allowed: {theta.rows}, as many as of theta"
        )
    return PairsShape(files, theta.rows, theta.columns, x.columns, theta.names)


def _joined(files: tuple[Path, ...]) -> PairsShape:
    table = table_of(files[0])
    parameters = theta_columns(table.names)
    allowed = "a header with columns theta_* and at least one x_*"
    if not any(parameters) or all(parameters):
        got = ", ".join(table.names) or "no header"
        raise _refused(f"{files[0]}: got {got}; allowed: {allowed}")
    others = [name for name, is_theta in zip(table.names, parameters, strict=True) if not is_theta]
    for name in others:
        if name != X and not name.startswith(f"{X}_"):
            raise _refused(f"{files[0]}: got the column {name!r}; allowed: theta_* and x_*")
    names = tuple(name for name in table.names if name not in others)
    return PairsShape(files, table.rows, len(names), len(others), names)


def table_of(path: Path) -> Table:
    """Return the sizes of an .npy or a .csv.

    Raises:
        ConfigError: if it is not a table of numbers, or only a part of one.
    """
    if path.suffix == ".npy":
        with path.open("rb") as file:
            return _npy(file, path.stat().st_size, str(path))
    return _csv(path)


def _npz(path: Path) -> tuple[Table, Table]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(name.removesuffix(".npy") for name in archive.namelist())
            if not {THETA, X} <= set(names):
                raise _refused(f"{path}: got {', '.join(names)}; allowed: theta and x")
            tables = []
            for name in (THETA, X):
                with archive.open(f"{name}.npy") as member:
                    size = archive.getinfo(f"{name}.npy").file_size
                    tables.append(_npy(member, size, f"{path}: {name}"))
    except (zipfile.BadZipFile, EOFError):
        got = f"{path.stat().st_size} bytes that are not a whole .npz file"
        raise _refused(f"{path}: got {got}; allowed: one with theta and x") from None
    return tables[0], tables[1]


def _npy(file: IO[bytes], size: int, name: str) -> Table:
    """Read the header of the npy format: magic, version, length, a dictionary literal."""
    start = file.read(8)
    if len(start) < 8 or start[:6] != MAGIC:
        raise _refused(f"{name}: not an .npy file; allowed: an array of numbers")
    width, form = (2, "<H") if start[6] == 1 else (4, "<I")
    try:
        (length,) = struct.unpack(form, file.read(width))
        header = ast.literal_eval(file.read(length).decode("utf-8"))
        kind, shape = str(header["descr"]), tuple(int(side) for side in header["shape"])
    except (struct.error, SyntaxError, ValueError, KeyError, TypeError) as error:
        got = f"a header that cannot be read ({type(error).__name__})"
        raise _refused(f"{name}: got {got}; allowed: one that numpy.save wrote") from None
    if kind[1:2] not in NUMBERS:
        raise _refused(f"{name}: got data type {kind!r}; allowed: real numbers")
    if not shape or shape[0] == 0:
        raise _refused(f"{name}: got shape {shape}; allowed: (rows, columns) or (rows,)")
    needed = 8 + width + length + prod(shape) * int(kind[2:])
    if size < needed:
        allowed = f"{needed}, for data type {kind!r} and shape {shape}"
        raise _refused(f"{name}: got {size} bytes, a part of the file; allowed: {allowed}")
    return Table(shape[0], prod(shape[1:]))


def _csv(path: Path) -> Table:
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            cells, is_header = first_row(file.readline())
            _require_commas(cells)
            rows = _count_lines(file, len(cells), first_is_data=not is_header)
        except UnicodeDecodeError:
            raise _refused(f"{path}: got bytes that are no text; allowed: UTF-8") from None
        except ValueError as error:
            raise _refused(f"{path}: {error}") from None
    return Table(rows, len(cells), cells) if is_header else Table(rows + 1, len(cells))


def _require_commas(cells: Sequence[str]) -> None:
    """Refuse first rows that hold no columns, other separators or an index without a name."""
    allowed = "numbers separated by ',', with a header or without"
    if not any(cells):
        raise ValueError(f"got no columns in line 1; allowed: {allowed}")
    for name, separator in SEPARATORS.items():
        parts = [part for cell in cells for part in cell.split(separator)]
        if len(parts) > len(cells) and (separator != " " or all(_is_number(one) for one in parts)):
            raise ValueError(f"got {name} as separator in line 1; allowed: {allowed}")
    if not cells[0] and not any(_is_number(cell) for cell in cells[1:]):
        without = "columns with names, without the index of rows (pandas: to_csv(index=False))"
        raise ValueError(f"got a first column without a name; allowed: {without}")
    words = [cell for cell in cells if not _is_number(cell)]
    if 0 < len(words) < len(cells):
        raise ValueError(f"got {words[0]!r} beside numbers in line 1; allowed: {allowed}")


def _count_lines(file: TextIO, columns: int, first_is_data: bool) -> int:
    count = 0
    empty = None
    for number, line in enumerate(file, start=2):
        if not line.strip():
            empty = empty or number
        elif empty is not None:
            raise ValueError(f"got an empty line {empty}; allowed: one at the end")
        elif line.count(",") != columns - 1:
            got = f"{line.count(',') + 1} values in line {number}"
            raise ValueError(f"got {got}; allowed: {columns}, as in line 1")
        else:
            count += 1
    if count == 0 and not first_is_data:
        raise ValueError("got a header alone; allowed: numbers below it")
    return count


def first_row(line: str) -> tuple[tuple[str, ...], bool]:
    """Return the cells of the first row of a .csv, and whether they name its columns.

    They do if none of them is a number; a leading '#', as numpy.savetxt writes it, is left out.
    """
    cells = [cell.strip() for cell in next(csv.reader([line.strip()]), [])]
    is_header = not any(_is_number(cell) for cell in cells)
    if is_header and cells:
        cells[0] = cells[0].removeprefix("#").strip()
    return tuple(cells), is_header


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.strip() == ""
    return True
