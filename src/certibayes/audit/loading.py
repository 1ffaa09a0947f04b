"""Load what is audited: a pickled file, if it is trusted, or an object by its name."""

from __future__ import annotations

import pickle
import sys
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from certibayes.audit.errors import AuditError

BROKEN = (
    AttributeError,
    EOFError,
    ImportError,
    KeyError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)


def load_posterior(source: str, trust: bool) -> Any:
    """Return the posterior that a file holds or that a module names.

    Args:
        source: path of a file written by torch.save or pickle, or "module:object".
        trust: whether the file may run code.

    Raises:
        AuditError: if there is no such thing, or the file is not trusted.
    """
    path = Path(source)
    if path.is_file():
        return _unpickled(path, trust)
    if ":" in source:
        return named(source, "posterior")
    raise AuditError(
        f"posterior: got {source!r}; allowed: a file written by torch.save or pickle.dump, or "
        "module:object"
    )


def named(name: str, role: str) -> Any:
    """Import "module:object"; modules of the current folder are found.

    Args:
        name: what to import.
        role: what the message calls it.

    Raises:
        AuditError: if it cannot be imported.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise AuditError(f"{role}: got {name!r}; allowed: module:object")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (AttributeError, ImportError) as error:
        raise AuditError(f"{role}: got {name!r}, which cannot be imported: {error}") from error
    return found


def _unpickled(path: Path, trust: bool) -> Any:
    if not trust:
        raise AuditError(
            f"{path}: not opened. It is a pickle: to read it is to run whatever code was put into "
            "it, with your rights; no check before reading can tell what it does. If you wrote it "
            "yourself, or trust whoever did and the way it came here, add --trust."
        )
    try:
        if zipfile.is_zipfile(path):
            return torch.load(path, map_location="cpu", weights_only=False)
        with path.open("rb") as file:
            return pickle.load(file)  # noqa: S301 - the user says that it is trusted
    except BROKEN as error:
        missing = f"; install {error.name!r} here" if isinstance(error, ImportError) else ""
        raise AuditError(
            f"{path}: cannot be read: {type(error).__name__}: {error}{missing}. A pickle needs the "
            "packages that it was written with, in the same versions."
        ) from error
