import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from certibayes.locking import StudyLock, StudyLockedError, clear_snakemake_locks

HOLD = """
import subprocess, sys
from pathlib import Path
from certibayes.locking import StudyLock
StudyLock(Path(sys.argv[1])).acquire()
child = subprocess.Popen(["sleep", "60"])
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        child = int(process.stdout.readline())
        yield process
        process.kill()
        os.kill(child, signal.SIGKILL)


def test_a_second_workflow_is_refused_and_told_who_holds_the_study(tmp_path, holder):
    with pytest.raises(StudyLockedError) as caught:
        StudyLock(tmp_path).acquire()
    assert f"pid {holder.pid}, host " in str(caught.value)
    assert re.search(r"user \S+, since \d{4}-\d\d-\d\dT", str(caught.value))


def test_a_killed_holder_frees_the_study_though_its_child_lives_on(tmp_path, holder):
    holder.kill()
    holder.wait()
    with StudyLock(tmp_path):
        pass


def test_a_released_lock_can_be_taken_again(tmp_path):
    for _ in range(2):
        with StudyLock(tmp_path), pytest.raises(StudyLockedError):
            StudyLock(tmp_path).acquire()


def test_two_studies_do_not_exclude_each_other(tmp_path):
    with StudyLock(tmp_path / "one"), StudyLock(tmp_path / "two"):
        pass


def test_only_the_lock_files_of_this_study_are_cleared(tmp_path):
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text("results/one/summary.csv\nresults/one/x.npy\n")
    (locks / "0.input.lock").write_text("results/one/x.npy\n")
    (locks / "1.output.lock").write_text("results/one_more/summary.csv\n")
    removed = clear_snakemake_locks(tmp_path, Path("results/one"))
    assert [path.name for path in removed] == ["0.input.lock", "0.output.lock"]
    assert [path.name for path in locks.iterdir()] == ["1.output.lock"]


def test_a_folder_without_snakemake_has_nothing_to_clear(tmp_path):
    assert clear_snakemake_locks(tmp_path, Path("results/one")) == []
