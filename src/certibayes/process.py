"""Life and death of job processes: stop on request, die with the workflow, tell who lives."""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1
WORKFLOW = "snakemake"


class Interrupted(RuntimeError):  # noqa: N818
    """The job stopped because it was asked to; its state is saved and the next attempt resumes."""


class Interruption:
    """Whether SIGTERM has arrived."""

    def __init__(self) -> None:
        self._requested = False

    @property
    def requested(self) -> bool:
        """True from the first SIGTERM on."""
        return self._requested

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Take SIGTERM for the length of the block; in other threads than the main one, do not."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._requested = True


def die_with_parent() -> None:
    """Have this process killed when its parent, or the workflow above it, is gone (Linux only).

    The kernel kills it when the parent dies. The parent of a Snakemake job is a shell that
    survives Snakemake, so a thread watches all ancestors up to the highest Snakemake process.
    Elsewhere than on Linux this does nothing.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    killed_with_parent()
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    watched = _workflow_ancestors(parent)
    if watched:
        threading.Thread(target=_die_with, args=(watched,), daemon=True).start()


def killed_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies; kept by an exec (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _workflow_ancestors(pid: int) -> list[int]:
    """Return descriptors of the ancestors up to the highest one that runs Snakemake."""
    chain: list[tuple[int, bool]] = []
    while pid > 1:
        try:
            descriptor = os.pidfd_open(pid)
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            pid = int(_stat(pid)[1])
        except (OSError, LookupError):
            break
        chain.append((descriptor, any(Path(word).name == WORKFLOW for word in words)))
    last = max((i for i, (_, found) in enumerate(chain) if found), default=-1)
    for descriptor, _ in chain[last + 1 :]:
        os.close(descriptor)
    return [descriptor for descriptor, _ in chain[: last + 1]]


def _die_with(descriptors: list[int]) -> None:
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    poller.poll()
    os.kill(os.getpid(), signal.SIGKILL)


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name: state, parent, ..., start time (19)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def identity() -> dict[str, str]:
    """Return what tells this process from every other: host, pid, pid_start, slurm_job_id."""
    found = {
        "host": socket.gethostname(),
        "pid": str(os.getpid()),
        "pid_start": _start(os.getpid()),
    }
    if "SLURM_JOB_ID" in os.environ:
        found["slurm_job_id"] = os.environ["SLURM_JOB_ID"]
    return found


def alive(process: Mapping[str, str]) -> bool:
    """Return whether the process of an `identity` still runs.

    On this host the process table decides, for a Slurm job elsewhere `squeue`. Any other process
    elsewhere counts as gone: one workflow at a time runs a study (its lock), and it runs its jobs
    here or through Slurm.
    """
    if process.get("host") == socket.gethostname():
        return _runs(int(process.get("pid", "0")), process.get("pid_start", ""))
    if "slurm_job_id" in process and shutil.which("squeue") is not None:
        command = ["squeue", "--noheader", "--format=%T", f"--jobs={process['slurm_job_id']}"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        return answer.returncode == 0 and bool(answer.stdout.strip())
    return False


def _runs(pid: int, start: str) -> bool:
    if pid <= 0:
        return False
    if start:
        return _start(pid) == start
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _start(pid: int) -> str:
    """Return when a process started, in ticks since boot; empty if unknown, gone or a zombie."""
    try:
        fields = _stat(pid)
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
