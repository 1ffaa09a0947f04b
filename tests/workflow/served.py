"""Start `mlflow models serve` or `mlflow server` and end it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

SECONDS = 300


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(base):
    """Return variables under which commands of the documentation find interpreter and registry."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    own = {"PATH": path, "MLFLOW_TRACKING_URI": f"sqlite:///{base / 'mlflow.db'}"}
    return {**os.environ, **own, "OMP_NUM_THREADS": "1"}


@contextmanager
def running(command, port, base, path="ping"):
    """Run a shell command that serves on a port, asked at a path, for the length of the block."""
    log = base / f"serve{port}.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            ["bash", "-c", command],
            cwd=base,
            env=environment(base),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(server, f"http://127.0.0.1:{port}/{path}", log)
        yield
    finally:
        _end(server)


def _wait(server, address, log):
    until = time.monotonic() + SECONDS
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                assert answer.status == 200
                return
        except OSError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)


def _end(server):
    """End the whole session of the server: its workers are children of its own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
        except ProcessLookupError:
            break
        until = time.monotonic() + 20
        while time.monotonic() < until and _alive(server):
            time.sleep(0.1)
    server.wait(timeout=20)


def _alive(server):
    server.poll()
    try:
        os.killpg(server.pid, 0)
    except ProcessLookupError:
        return False
    return True
