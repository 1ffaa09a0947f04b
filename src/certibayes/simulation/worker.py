"""A simulator in a process of its own, which can be killed when a call takes too long."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from certibayes.process import killed_with_parent
from certibayes.simulation.call import FailedCall, call
from certibayes.simulation.error import SimulationError
from certibayes.tasks.base import PosteriorTask

START_SECONDS = 300.0
END_SECONDS = 5.0
POLL_SECONDS = 0.1


class _TimeUpError(Exception):
    """The worker is still at it."""


class _GoneError(Exception):
    """The worker has ended."""


class Worker:
    """Calls a task's simulator in a worker process under a time limit; use as a context.

    The worker is started by the first call and again after it was killed or died. It never
    outlives this process, nor the context; what it started itself is killed with it.
    """

    def __init__(self, task: PosteriorTask, limit: float, tick: Callable[[], None]) -> None:
        """Start nothing yet.

        Args:
            task: the simulator; it is pickled.
            limit: seconds that one call may take.
            tick: called ten times a second while a call runs.
        """
        self._task = task
        self._limit = limit
        self._tick = tick
        self._process: BaseProcess | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self._kill()

    def __call__(self, theta: Tensor, seed: int) -> Tensor | FailedCall:
        """Simulate as `simulation.call` does; a hang or the worker's death is a failed call.

        Raises:
            SimulationError: if the worker does not start.
        """
        self._start()
        try:
            outcome = self._ask(theta, seed)
        except _TimeUpError:
            self._kill()
            return FailedCall("time_limit", f"no result after {self._limit:g} s")
        except _GoneError:
            ended = self._kill(END_SECONDS)
            self._tick()
            return FailedCall("died", f"the simulator's process ended, {ended}")
        return outcome if isinstance(outcome, FailedCall) else torch.from_numpy(outcome)

    def _start(self) -> None:
        if self._process is not None:
            return
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        arguments = (theirs, self._task, torch.get_num_threads(), os.getpid())
        process = context.Process(target=serve, args=arguments)
        with _empty_main():
            process.start()
        self._process = process
        theirs.close()
        try:
            self._receive(START_SECONDS)  # an empty array: it is there
        except _TimeUpError:
            self._kill()
            raise SimulationError(
                f"the simulator's process did not start within {START_SECONDS:g} s"
            ) from None
        except _GoneError:
            raise SimulationError(
                f"the simulator's process did not start: {self._kill(END_SECONDS)}; "
                "what it wrote to stderr says why"
            ) from None

    def _ask(self, theta: Tensor, seed: int) -> np.ndarray | FailedCall:
        try:
            self._connection.send((theta.numpy(), seed))
        except OSError:
            raise _GoneError from None
        return self._receive(self._limit)

    def _receive(self, limit: float) -> np.ndarray | FailedCall:
        assert self._process is not None
        until = time.monotonic() + limit
        while not self._connection.poll(min(POLL_SECONDS, max(0.0, until - time.monotonic()))):
            self._tick()
            if time.monotonic() >= until:
                raise _TimeUpError
            if not self._process.is_alive() and not self._connection.poll():
                raise _GoneError
        try:
            received: np.ndarray | FailedCall = self._connection.recv()
        except (EOFError, OSError):
            raise _GoneError from None
        return received

    def _kill(self, patience: float = 0.0) -> str:
        """Kill the worker and its process group and return how it ended.

        Args:
            patience: seconds in which it may end by itself.
        """
        process, self._process = self._process, None
        if process is None:
            return "not running"
        assert process.pid is not None
        process.join(patience)
        ended = process.exitcode
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
        process.join()
        self._connection.close()
        return f"exit code {process.exitcode if ended is None else ended}"


@contextmanager
def _empty_main() -> Iterator[None]:
    """Let a spawned process not run the script again that this one was started with."""
    own = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = own


def serve(connection: Connection, task: PosteriorTask, threads: int, parent: int) -> None:
    """Answer calls until killed: the worker's main function.

    It leads a process group of its own and leaves SIGINT and SIGTERM to its parent, which decides
    what becomes of it.
    """
    os.setpgid(0, 0)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave_to_parent)
    killed_with_parent()
    if os.getppid() != parent:
        return
    torch.set_num_threads(threads)
    connection.send(np.empty(0))
    while True:
        try:
            theta, seed = connection.recv()
        except EOFError:
            return
        outcome = call(task, torch.from_numpy(theta), seed)
        connection.send(outcome.numpy() if isinstance(outcome, Tensor) else outcome)


def _leave_to_parent(number: int, frame: object) -> None:
    pass
