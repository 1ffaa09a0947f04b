"""State of an unfinished job in one file: tensors as safetensors, structure as JSON metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from certibayes.io import FileFormatError, write_tensors
from certibayes.writing import atomic

STRUCTURE = "structure"
SCALARS = (bool, int, float, str, type(None))


class CheckpointError(FileFormatError):
    """A checkpoint that cannot be read; the message names the file."""


class Checkpoint:
    """One file with the last saved state.

    A state is a tree of dicts (keys: strings or integers), lists and tuples; leaves are tensors,
    numbers, strings, booleans and None. Tensors come back on the CPU, everything else as it was.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, state: Any) -> None:
        """Replace the stored state by a copy of this one, atomically.

        Raises:
            TypeError: if a leaf or a key has another type; the message names its place.
        """
        tensors: dict[str, torch.Tensor] = {}
        structure = json.dumps(_encode(state, "state", tensors))
        with atomic(self.path) as temporary:
            write_tensors(temporary, tensors, {STRUCTURE: structure})

    def load(self) -> Any:
        """Return the stored state, or None if there is none.

        Raises:
            CheckpointError: if the file is half written or something else.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                structure = json.loads((file.metadata() or {})[STRUCTURE])
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"{self.path}: not a checkpoint ({error}); remove it to start this job afresh"
            ) from None
        return _decode(structure, tensors)

    def remove(self) -> None:
        """Forget the stored state."""
        self.path.unlink(missing_ok=True)


def _encode(value: Any, place: str, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        tensors[place] = value.detach().cpu().clone().contiguous()
        return {"tensor": place}
    if isinstance(value, dict):
        pairs = []
        for key, item in value.items():
            if isinstance(key, bool) or not isinstance(key, str | int):
                raise TypeError(f"{place}: got the key {key!r}; allowed: strings, integers")
            pairs.append([key, _encode(item, f"{place}.{key!r}", tensors)])
        return {"dict": pairs}
    if isinstance(value, list | tuple):
        items = [_encode(item, f"{place}.{i}", tensors) for i, item in enumerate(value)]
        return {"list" if isinstance(value, list) else "tuple": items}
    if type(value) in SCALARS:
        return value
    raise TypeError(
        f"{place}: got {type(value).__name__}; allowed: tensors, dicts, lists, tuples, numbers, "
        "strings, booleans, None"
    )


def _decode(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _decode(item, tensors) for key, item in content}
    items = [_decode(item, tensors) for item in content]
    return items if kind == "list" else tuple(items)
