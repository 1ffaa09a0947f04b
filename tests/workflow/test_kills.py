"""`kill -9` of a job in every stage, wherever it was, and what the next attempt makes of it."""

import os
import signal
from pathlib import Path

import pytest
from forked import in_child
from single_jobs import STAGES, contents, job_of, outputs_of, run_job

from certibayes.io import read_json
from certibayes.writing import PARTIAL

pytestmark = pytest.mark.slow
FIRST, THIRD, LAST = 1, 3, "run.json"


def kill_at(moment):
    """Have this process killed before a rename: the n-th one, or that of a name."""
    rename, renamed = Path.replace, []

    def replace(self, target):
        renamed.append(Path(target).name)
        if moment in (len(renamed), renamed[-1]):
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(self, target)

    Path.replace = replace


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("moment", [FIRST, THIRD, LAST])
def test_a_killed_job_leaves_whole_files_and_the_next_attempt_the_same_results(
    small_copy, tmp_path, stage, moment
):
    study, layout, original = small_copy
    _, folder = job_of(study, layout, stage)
    expected = contents(job_of(study, original, stage)[1])
    for path in outputs_of(folder):
        path.unlink()

    def killed():
        kill_at(moment)
        return run_job(tmp_path, study, layout, stage)

    code, output = in_child(killed)
    assert code == -signal.SIGKILL, output
    left = contents(folder)
    assert "run.json" not in left
    assert left == {name: expected[name] for name in left}

    code, output = in_child(lambda: run_job(tmp_path, study, layout, stage))
    assert code == 0, output
    assert contents(folder) == expected
    assert read_json(folder / "run.json")["attempt"] == 2
    assert list(layout.root.rglob(f".*{PARTIAL}*")) == []
