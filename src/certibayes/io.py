"""Files of arrays, weights and JSON: written whole or not at all; no pickle is ever read."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from certibayes.explained import ExplainedError
from certibayes.writing import atomic

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "weights.safetensors"
MANIFEST = "manifest.json"
RESERVED = ("sha256", "shapes")
REMEDY = "restore it, or remove it and start the study again, which makes it anew"


class FileFormatError(ExplainedError, ValueError):
    """A file that is not what its name says; the message names it."""


class WeightsError(FileFormatError):
    """Weights that do not match their manifest; the message names the file."""


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
        raise FileFormatError(f"{path}: not a JSON file: {error}; {REMEDY}") from None


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
        np.save(_Sink(file), array, allow_pickle=False)


class _Sink:
    """A file of which numpy sees `write` alone.

    Into a file that it knows as one numpy writes past Python, and does not notice that the last
    block found no room.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write


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
        raise FileFormatError(
            f"{path}: not an npz file of plain arrays: {error}; {REMEDY}"
        ) from None


def load_array(path: Path, mapped: bool = False) -> np.ndarray:
    """Read one array of an npy file, or map it into memory.

    Raises:
        FileFormatError: if it is no npy file, shorter than it says, or holds pickled objects.
    """
    try:
        array: np.ndarray = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise FileFormatError(f"{path}: not an npy file of numbers: {error}; {REMEDY}") from None
    return array


def save_weights(folder: Path, state: Mapping[str, Tensor], manifest: Mapping[str, Any]) -> None:
    """Write weights.safetensors, then manifest.json with the given entries, sha256 and shapes.

    Raises:
        ValueError: if the manifest has an entry sha256 or shapes already.
    """
    for key in RESERVED:
        if key in manifest:
            raise ValueError(f"{key}: got {manifest[key]!r}; allowed: any name but {RESERVED}")
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}
    path = folder / WEIGHTS
    with atomic(path) as temporary:
        write_tensors(temporary, tensors)
    shapes = {name: list(value.shape) for name, value in tensors.items()}
    write_json(folder / MANIFEST, {**manifest, "sha256": sha256_of(path), "shapes": shapes})


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors and texts as safetensors, with the rights that any new file gets.

    Raises:
        OSError: if the system does not let it be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path.touch()
    rights = path.stat().st_mode
    try:
        save_file(dict(tensors), path, metadata=None if metadata is None else dict(metadata))
    except SafetensorError as error:
        raise OSError(str(error)) from None
    path.chmod(rights)


def load_weights(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors by name and the manifest, after checking the recorded sha256 and shapes.

    Raises:
        WeightsError: if the weights differ from what the manifest records.
        FileNotFoundError: if one of the two files is missing.
    """
    from safetensors.torch import load

    path = folder / WEIGHTS
    manifest = _manifest(folder / MANIFEST)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != manifest["sha256"]:
        raise WeightsError(
            f"{path}: sha256 is {digest}; allowed: {manifest['sha256']}, as {MANIFEST} records; "
            f"one of the two files is damaged: {REMEDY}"
        )
    state = load(content)
    shapes = {name: list(value.shape) for name, value in state.items()}
    if shapes != manifest["shapes"]:
        raise WeightsError(f"{path}: shapes are {shapes}; allowed: {manifest['shapes']}; {REMEDY}")
    return state, manifest


def _manifest(path: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = read_json(path)
    for key in RESERVED:
        if not isinstance(manifest, dict) or key not in manifest:
            raise WeightsError(
                f"{path}: got no {key}; allowed: what came with the weights; {REMEDY}"
            )
    return manifest
