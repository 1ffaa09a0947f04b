"""The code digest of a user's Python file and of the modules beside it that it imports."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

from certibayes.syntax import imported_names, tree_of


def digest_of_script(path: Path) -> str:
    """Return the digest of a script's static import closure, 64 hexadecimal digits.

    Only modules in the script's folder and below are followed; where that folder lies does not
    matter. A file that is not Python code counts by its bytes: the job says what is wrong with it.
    """
    digest = hashlib.sha256()
    for name, file in sorted(local_modules(path).items()):
        digest.update(f"{name} {_code(file, *_stamp(file))}\n".encode())
    return digest.hexdigest()


def local_modules(path: Path) -> dict[str, Path]:
    """Return the script, by its stem, and the local modules it reaches, by dotted name."""
    found = {path.stem: path}
    waiting = [(path, "")]
    while waiting:
        file, package = waiting.pop()
        for name in _imports(file, package, *_stamp(file)):
            for part in _with_parents(name):
                module = _module_file(path.parent, part)
                if module is not None and part not in found:
                    found[part] = module
                    is_package = module.name == "__init__.py"
                    waiting.append((module, part if is_package else part.rpartition(".")[0]))
    return found


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def _module_file(folder: Path, name: str) -> Path | None:
    if not name:
        return None
    base = folder.joinpath(*name.split("."))
    for path in (base / "__init__.py", base.with_name(f"{base.name}.py")):
        if path.is_file():
            return path
    return None


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return (status.st_mtime_ns, status.st_size)


@cache
def _imports(path: Path, package: str, modified: int, size: int) -> tuple[str, ...]:
    try:
        return tuple(sorted(imported_names(tree_of(path), package)))
    except (SyntaxError, ValueError):
        return ()


@cache
def _code(path: Path, modified: int, size: int) -> str:
    try:
        content = ast.dump(tree_of(path)).encode()
    except (SyntaxError, ValueError):
        content = path.read_bytes()
    return hashlib.sha256(content).hexdigest()
