import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import failing_tasks as tasks
import pytest
import torch
from failing_tasks import BAD, spec

from certibayes.simulation.error import SimulationError
from certibayes.simulation.first_exception import FirstException
from certibayes.simulation.progress import Progress
from certibayes.simulation.rows import simulate_rows
from certibayes.simulation.tally import REASONS

ROWS = 30
SEEDS = (3, "mine", "shard", 2)
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs the Linux kernel")


def simulate(kind, rows=ROWS, stop=lambda: None, **failures):
    task = kind(spec(**failures))
    theta = task.sample_prior(rows, torch.Generator())
    progress = Progress("mine", rows, stop)
    return simulate_rows(task, theta, "mine", SEEDS, task.spec.failures, progress, FirstException())


def gone_within(pid, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_a_worker_simulates_what_this_process_would():
    here = simulate(tasks.Global)
    there = simulate(tasks.Global, time_limit=60.0)
    assert torch.equal(here.x, there.x)
    assert there.tally.failed == 0


def test_an_exception_in_the_worker_is_explained_and_the_worker_lives_on():
    found = simulate(tasks.Raising, time_limit=60.0)
    assert found.tally.counts["exception"] == 2
    assert found.tally.examples[0].detail == "ValueError: negative rate"
    assert torch.equal(found.x[20:], simulate(tasks.Sound).x[20:])


@pytest.mark.parametrize(
    ("kind", "reason", "detail", "limit"),
    [
        (tasks.Hanging, "time_limit", "no result after 1.5 s", 1.5),
        (tasks.Dying, "died", "the simulator's process ended, exit code 9", 60.0),
    ],
)
def test_hangs_and_deaths_are_narrowed_down_to_their_rows(kind, reason, detail, limit, monkeypatch):
    monkeypatch.setattr(kind, "rows_per_call", 2)
    found = simulate(kind, rows=10, at_most=0.1, time_limit=limit)
    assert (~found.valid).nonzero().flatten().tolist() == [BAD]
    assert found.tally.counts == dict.fromkeys(REASONS, 0) | {reason: 1}
    assert found.tally.examples[0].detail == detail
    monkeypatch.setattr(tasks.Sound, "rows_per_call", 2)
    sound = simulate(tasks.Sound, rows=10)
    assert torch.equal(found.x[:6], sound.x[:6])
    assert torch.equal(found.x[8:], sound.x[8:])


def test_a_thousand_rows_one_by_one_are_reasonably_quick(monkeypatch):
    monkeypatch.setattr(tasks.RaisingAtRandom, "rows_per_call", 1_000)
    begun = time.monotonic()
    found = simulate(tasks.RaisingAtRandom, rows=1_000, at_most=0.5, time_limit=60.0)
    assert time.monotonic() - begun < 30
    assert 3 <= found.tally.failed <= 35


def test_a_hang_stops_the_shard_under_policy_error():
    with pytest.raises(
        SimulationError, match=r"row 7, time limit \(no result after 1.5 s\): a = 7"
    ):
        simulate(tasks.Hanging, policy="error", time_limit=1.5)


@linux
def test_a_hang_takes_the_programs_that_the_simulator_started_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("CERTIBAYES_TEST_PIDS", str(tmp_path / "pids"))
    found = simulate(tasks.HangingBelow, rows=1, at_most=1.0, time_limit=1.5)
    assert found.tally.counts["time_limit"] == 1
    worker, below = map(int, (tmp_path / "pids").read_text().split())
    assert gone_within(worker, 5)
    assert gone_within(below, 5)


class Stopped(Exception):  # noqa: N818
    pass


def test_a_request_to_stop_is_heard_while_a_call_hangs_and_leaves_no_worker():
    started = []

    def stop():
        started.append(time.monotonic())
        if len(started) > 10 and started[-1] - started[0] > 1:
            raise Stopped

    begun = time.monotonic()
    with pytest.raises(Stopped):
        simulate(tasks.Hanging, stop=stop, time_limit=300.0)
    assert time.monotonic() - begun < 60
    assert not list(_children())


def _children():
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            words = (path.parent / "cmdline").read_text()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and "spawn_main" in words and fields[0] != "Z":
            yield path


PARENT = """
import os, sys
sys.path.insert(0, sys.argv[1])
import torch
import failing_tasks as tasks
from certibayes.simulation.worker import Worker

def main():
    task = tasks.HangingBelow(tasks.spec())
    with Worker(task, 300.0, lambda: None) as worker:
        worker(torch.zeros(1, 2, dtype=torch.float64), 0)

if __name__ == "__main__":
    main()
"""


@linux
def test_a_worker_is_killed_with_its_parent(tmp_path):
    script, pids = tmp_path / "parent.py", tmp_path / "pids"
    script.write_text(PARENT)
    command = [sys.executable, str(script), str(Path(__file__).parent)]
    environment = os.environ | {"CERTIBAYES_TEST_PIDS": str(pids), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment) as parent:
        until = time.monotonic() + 60
        while not (pids.exists() and pids.read_text().strip()):
            assert time.monotonic() < until
            time.sleep(0.1)
        worker, below = map(int, pids.read_text().split())
        parent.kill()
        parent.wait()
    assert gone_within(worker, 10)
    if not gone_within(below, 0.0):
        os.kill(below, signal.SIGKILL)


def test_a_worker_that_cannot_start_says_so():
    with pytest.raises(SimulationError, match="did not start: exit code 1; what it wrote"):
        simulate(tasks.Unstartable, time_limit=1.5)
