"""Files appear whole or not at all; a failure names the file and says what to do."""

from __future__ import annotations

import errno
import os
import pwd
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

from certibayes.explained import ExplainedError

PARTIAL = ".partial-"
FULL = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EACCES, errno.EPERM)
NETWORK = (ConnectionError, TimeoutError, URLError)
"""What a file is copied from may fail too."""
MEGABYTE = 1e6


class WriteError(ExplainedError, OSError):
    """A file that cannot be written; the message names it and says what to do."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says against writing a file into an error that names it.

    Errors about a file that lies neither there nor above pass unchanged.

    Raises:
        WriteError: if the block ends in an error of the system about this file.
    """
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        if not _concerns(error, path):
            raise
        raise WriteError(
            f"{path}: cannot be written: {error.strerror or error}; {_advice(error, path)}; "
            "then start the study again, it goes on from what is finished"
        ) from error


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder with the same suffix; rename it at the end.

    The content is on disk (fsync) before the name exists. After an exception the temporary file
    is gone and `path` is as before.

    Raises:
        WriteError: if the system does not let it be written.
    """
    temporary = path.with_name(f".{path.stem}{PARTIAL}{os.getpid()}{path.suffix}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
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


def free_megabytes(path: Path) -> float:
    """Return the free space where a path lies or would lie, in 1e6 bytes."""
    existing = next(place for place in (path, *path.resolve().parents) if place.exists())
    return shutil.disk_usage(existing).free / MEGABYTE


def user_name() -> str:
    """Return who this process is to the file system."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"with id {os.geteuid()}"


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _concerns(error: OSError, path: Path) -> bool:
    if isinstance(error, NETWORK):
        return False
    if not isinstance(error.filename, str | Path):
        return True
    named, path = Path(error.filename).absolute(), path.absolute()
    return named.parent == path.parent or named in (path, *path.parents)


def _advice(error: OSError, path: Path) -> str:
    if error.errno == errno.EFBIG:
        return "raise the limit of the size of a file (ulimit -f)"
    if error.errno in FORBIDDEN:
        return f"let user {user_name()} write there, or copy the folder to where it may"
    if error.errno == errno.EROFS:
        return "mount this file system writable, or copy the folder to one that is"
    if error.errno in FULL or error.errno is None:
        return f"make room on this disk ({free_megabytes(path):.0f} MB are free)"
    return "see to the disk"
