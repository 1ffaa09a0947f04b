"""Files: written under a temporary name and renamed, never half; no pickle is ever read."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

PARTIAL = ".partial-"
WEIGHTS = "weights.safetensors"
MANIFEST = "manifest.json"
RESERVED = ("sha256", "shapes")


class FileFormatError(ValueError):
    """A file that is not what its name says; the message names it."""


class WeightsError(FileFormatError):
    """Weights that do not match their manifest; the message names the file."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder with the same suffix; rename it at the end.

    The content is on disk (fsync) before the name exists. After an exception the temporary file
    is gone and `path` is as before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}{PARTIAL}{os.getpid()}{path.suffix}")
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_partial(folder: Path) -> None:
    """Remove what killed writers left in a folder that nobody else writes to."""
    for path in folder.glob(f".*{PARTIAL}*"):
        path.unlink()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        FileFormatError: if it is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise FileFormatError(f"{path}: not a JSON file: {error}") from None


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's content, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_array(path: Path, array: np.ndarray) -> None:
    """Write one array of plain numbers as npy, atomically.

    Raises:
        TypeError: if the array holds Python objects.
    """
    _require_plain(path, array)
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays of plain numbers or strings as npz, atomically; equal input, equal bytes.

    Raises:
        TypeError: if an array holds Python objects.
    """
    for name, array in arrays.items():
        _require_plain(f"{path}: {name}", array)
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _require_plain(name: Path | str, array: np.ndarray) -> None:
    if array.dtype.hasobject:
        raise TypeError(f"{name}: got dtype {array.dtype}; allowed: numbers, booleans, strings")


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of an npz file.

    Raises:
        FileFormatError: if it is no npz file or holds pickled objects.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise FileFormatError(f"{path}: not an npz file of plain arrays: {error}") from None


def save_weights(folder: Path, state: Mapping[str, Tensor], manifest: Mapping[str, Any]) -> None:
    """Write weights.safetensors, then manifest.json with the given entries, sha256 and shapes.

    Raises:
        ValueError: if the manifest has an entry sha256 or shapes already.
    """
    from safetensors.torch import save_file

    for key in RESERVED:
        if key in manifest:
            raise ValueError(f"{key}: got {manifest[key]!r}; allowed: any name but {RESERVED}")
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}
    path = folder / WEIGHTS
    with atomic(path) as temporary:
        save_file(tensors, temporary)
    shapes = {name: list(value.shape) for name, value in tensors.items()}
    write_json(folder / MANIFEST, {**manifest, "sha256": sha256_of(path), "shapes": shapes})


def load_weights(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors by name and the manifest, after checking the recorded sha256 and shapes.

    Raises:
        WeightsError: if the weights differ from what the manifest records.
        FileNotFoundError: if one of the two files is missing.
    """
    from safetensors.torch import load

    path = folder / WEIGHTS
    manifest = read_json(folder / MANIFEST)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != manifest["sha256"]:
        raise WeightsError(
            f"{path}: sha256 is {digest}; allowed: {manifest['sha256']}, as {MANIFEST} records"
        )
    state = load(content)
    shapes = {name: list(value.shape) for name, value in state.items()}
    if shapes != manifest["shapes"]:
        raise WeightsError(f"{path}: shapes are {shapes}; allowed: {manifest['shapes']}")
    return state, manifest
