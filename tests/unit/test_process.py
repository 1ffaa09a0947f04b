import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from certibayes.flock import LockHeldError, locked
from certibayes.process import Interruption, alive, identity

JOB = "import sys,time; from certibayes.process import die_with_parent; die_with_parent(); "
JOB += "print('up', flush=True); time.sleep(60)"
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs the Linux kernel")


def _gone_within(pid: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def _start_job_below(parent: list[str]) -> tuple[subprocess.Popen[str], int]:
    """Start parent -> shell -> job and return the parent and the job's pid."""
    top = subprocess.Popen(parent, stdout=subprocess.PIPE, text=True)
    assert top.stdout is not None
    pid = int(top.stdout.readline())
    assert top.stdout.readline() == "up\n"
    return top, pid


@linux
def test_a_job_dies_with_its_parent():
    code = "import subprocess,sys,time; p=subprocess.Popen([sys.executable,'-c',sys.argv[1]]); "
    code += "print(p.pid, flush=True); time.sleep(60)"
    top, pid = _start_job_below([sys.executable, "-c", code, JOB])
    top.kill()
    top.wait()
    top.stdout.close()
    assert _gone_within(pid, 10)


@linux
def test_a_job_dies_with_the_workflow_above_the_shell_that_started_it(tmp_path):
    """Snakemake starts `bash -c`, which outlives it: the kernel alone would spare the job."""
    workflow = tmp_path / "snakemake"
    workflow.write_text(
        "import subprocess,sys,time\n"
        "shell = subprocess.Popen(['bash','-c','\"$0\" -c \"$1\" & echo $!; wait; true',"
        "sys.executable, sys.argv[1]])\n"
        "time.sleep(60)\n"
    )
    top, pid = _start_job_below([sys.executable, str(workflow), JOB])
    top.kill()
    top.wait()
    top.stdout.close()
    assert _gone_within(pid, 10)


def test_sigterm_is_a_request_and_the_handler_before_comes_back():
    before = signal.getsignal(signal.SIGTERM)
    interruption = Interruption()
    with interruption.installed():
        assert not interruption.requested
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.requested
    assert signal.getsignal(signal.SIGTERM) is before


def test_this_process_lives_and_a_dead_one_or_a_reused_pid_does_not():
    me = identity()
    assert alive(me)
    assert not alive({**me, "pid_start": "1"})
    assert not alive({"host": "another-host", "pid": me["pid"], "pid_start": me["pid_start"]})
    assert not alive({})
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    start = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19]
    theirs = {"host": me["host"], "pid": str(child.pid), "pid_start": start}
    assert alive(theirs)
    child.kill()
    assert _gone_within(child.pid, 10)
    assert not alive(theirs)
    child.wait()
    assert not alive(theirs)


def test_under_slurm_squeue_decides_for_other_hosts(tmp_path, monkeypatch):
    squeue = tmp_path / "squeue"
    squeue.write_text('#!/bin/sh\ncase "$*" in *=7) echo RUNNING;; *=8) ;; *) exit 1;; esac\n')
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert alive({"host": "node1", "pid": "1", "slurm_job_id": "7"})
    assert not alive({"host": "node1", "pid": "1", "slurm_job_id": "8"})
    assert not alive({"host": "node1", "pid": "1", "slurm_job_id": "9"})


def test_a_held_lock_names_its_holder_and_is_free_afterwards(tmp_path):
    path = tmp_path / "deep" / "lock"
    with (
        locked(path, 0.0, "pid 7"),
        pytest.raises(LockHeldError, match="held by pid 7"),
        locked(path, 0.2),
    ):
        pass
    with locked(path, 0.0):
        pass


def test_the_kernel_frees_the_lock_of_a_killed_process(tmp_path):
    code = "import sys,time; from pathlib import Path; from certibayes.flock import locked\n"
    code += "with locked(Path(sys.argv[1]), 0.0, 'child'): print('up', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "up\n"
        with pytest.raises(LockHeldError, match="child"), locked(tmp_path / "lock", 0.0):
            pass
        child.kill()
        child.wait()
    with locked(tmp_path / "lock", 5.0):
        pass
