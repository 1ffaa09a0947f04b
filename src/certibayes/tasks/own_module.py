"""Load a user's Python file, and say in one line what is wrong with it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from traceback import extract_tb
from types import ModuleType, TracebackType

from certibayes.config.errors import ConfigError
from certibayes.script_digest import local_modules
from certibayes.tasks.own_random import seeded


def load_module(path: Path) -> ModuleType:
    """Run a user's file and return it as a module.

    What it draws from the global generators is the same in every process.

    Raises:
        ConfigError: if there is no such file, or if running it raises; names file and line.
    """
    if not path.is_file():
        raise ConfigError(f"file: got {str(path)!r}; allowed: an existing file of Python code")
    name = f"own_{path.stem}_{sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"file: got {str(path)!r}; allowed: a file whose name ends with .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with importable(path.parent), Blame(path, "running the file"), seeded(0):
        spec.loader.exec_module(module)
    return module


@contextmanager
def loaded_anew(path: Path) -> Iterator[ModuleType]:
    """Run a user's file again, with the modules beside it that it imports, as a new process would.

    At the end, the modules that were loaded before are back.

    Raises:
        ConfigError: as `load_module`.
    """
    before = dict(sys.modules)
    for name, file in local_modules(path).items():
        origin = getattr(before.get(name), "__file__", None)
        if origin is not None and Path(origin).resolve() == file.resolve() and name != __name__:
            del sys.modules[name]
    try:
        yield load_module(path)
    finally:
        sys.modules.update({name: module for name, module in before.items() if module is not None})


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Let imports find modules in a folder first, as in a script that lies there."""
    place = str(folder.absolute())
    sys.path.insert(0, place)
    try:
        yield
    finally:
        sys.path.remove(place)


class Blame:
    """A context that turns what a user's code raises into one line with its file and line."""

    def __init__(self, path: Path, doing: str) -> None:
        """Remember whose code runs.

        Args:
            path: the user's file.
            doing: what it runs for, e.g. "prior".
        """
        self.path = path
        self.doing = doing

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, ConfigError) and not str(error).startswith(str(self.path)):
            raise ConfigError(f"{self.path}: {error}") from None
        if isinstance(error, ConfigError) or not isinstance(error, Exception):
            return
        raise ConfigError(f"{where(self.path, error)}: {self.doing}: {said(error)}") from error


def where(path: Path, error: BaseException) -> str:
    """Return the file and the line, in or beside a user's file, that an exception comes from."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    folder = path.resolve().parent
    for frame in reversed(extract_tb(error.__traceback__)):
        if Path(frame.filename).resolve().is_relative_to(folder):
            inside = Path(frame.filename).resolve() != path.resolve()
            return f"{frame.filename if inside else path}, line {frame.lineno}"
    return str(path)


def said(error: BaseException) -> str:
    """Return an exception's type and message in one line."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return " ".join(f"{type(error).__name__}: {text}".split())
