"""Exclusive file locks between processes, freed by the kernel however the holder ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from certibayes.explained import ExplainedError
from certibayes.writing import writing

POLL_SECONDS = 0.1


class LockHeldError(ExplainedError, RuntimeError):
    """Another process holds the lock; the message names the file and the holder."""


@contextmanager
def locked(path: Path, wait: float, holder: str = "") -> Iterator[None]:
    """Hold an exclusive lock on a file, which stays.

    Args:
        path: the lock file, made if missing.
        wait: seconds to wait for another holder.
        holder: what the file says about us while we hold it.

    Raises:
        LockHeldError: if the lock is still held after the wait.
        WriteError: if the file cannot be made.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _take(descriptor, path, time.monotonic() + wait)
        with writing(path):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, holder.encode())
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, until: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                by = path.read_text() or "an unnamed process"
                raise LockHeldError(f"{path}: held by {by}; wait for it or stop it") from None
            time.sleep(POLL_SECONDS)
        else:
            return
