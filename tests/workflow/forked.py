"""Run a function in a child process, where limits, users and signals harm nobody."""

import os
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

CRASHED = 70


def in_child(function):
    """Return exit code (-9 for SIGKILL) and everything printed; a function returns its code."""
    with tempfile.TemporaryFile() as output:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            _run(function, output.fileno())
        _, status = os.waitpid(pid, 0)
        output.seek(0)
        text = output.read().decode()
    return os.waitstatus_to_exitcode(status), text


def _run(function, output):
    code = CRASHED
    try:
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        sys.stdout = sys.__stdout__ = os.fdopen(1, "w", closefd=False)
        sys.stderr = sys.__stderr__ = os.fdopen(2, "w", closefd=False)
        code = function() or 0
    except Exception:  # noqa: BLE001
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def become_nobody():
    """Give up the rights of root, which ignores modes."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


def open_folder():
    """Return a new folder that other users reach, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="certibayes-", dir="/tmp"))
    folder.chmod(0o755)
    return folder
