"""One workflow per study: an flock on the study's folder, freed by the kernel however it ends."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from datetime import datetime
from pathlib import Path
from types import TracebackType

from certibayes.explained import ExplainedError
from certibayes.writing import writing

HOLDER_VARIABLE = "CERTIBAYES_LOCK_HOLDER"


class StudyLockedError(ExplainedError, RuntimeError):
    """Another workflow runs this study; the message names it."""


class StudyLock:
    """Exclusive lock of one study, held until `release` or the end of this process.

    Child processes do not inherit it, so a job that outlives the workflow cannot hold it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".lock"
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            StudyLockedError: if another process holds it, with its pid, host, user and start.
            WriteError: if this user may not write there.
        """
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise StudyLockedError(
                f"{self.path.parent}: another workflow runs this study: {self._holder()}; "
                "wait for it, stop it, or give this study another name"
            ) from None
        self._descriptor = descriptor
        with writing(self.path):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, json.dumps(_this_process()).encode())

    def release(self) -> None:
        """Free the lock; the file stays, because removing it would let two processes in."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def held(self) -> bool:
        """Return whether another process holds the lock; nothing is written."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def __enter__(self) -> StudyLock:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def _holder(self) -> str:
        for _ in range(20):
            text = self.path.read_text()
            if text:
                return _described(text)
            time.sleep(0.05)
        return "a process that has not written its name yet"


def _described(text: str) -> str:
    try:
        return ", ".join(f"{key} {value}" for key, value in json.loads(text).items())
    except ValueError:
        return text


def clear_snakemake_locks(workdir: Path, folder: Path) -> list[Path]:
    """Remove Snakemake's lock files of one study and return them; call it with the lock in hand.

    A file of `.snakemake/locks` belongs to the study if it lists a path below `folder`. Those of
    other studies stay.

    Args:
        workdir: the workflow's folder.
        folder: the study's folder as the rules name it, relative to `workdir`.
    """
    found = snakemake_locks(workdir, folder)
    for path in found:
        path.unlink()
    return found


def snakemake_locks(workdir: Path, folder: Path) -> list[Path]:
    """Return Snakemake's lock files of one study; see `clear_snakemake_locks`."""
    return [
        path
        for path in sorted((workdir / ".snakemake" / "locks").glob("*.lock"))
        if any(line.startswith(f"{folder}/") for line in path.read_text().splitlines())
    ]


def _this_process() -> dict[str, str | int]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "user": os.environ.get("USER", str(os.getuid())),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
