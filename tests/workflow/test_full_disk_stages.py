"""Disks that are full or read-only, in every stage: the file is named, and the study goes on."""

import os
import resource
import shutil

import pytest
from forked import become_nobody, in_child, open_folder
from in_process import load_study
from single_jobs import STAGES, contents, job_of, outputs_of, run_job, small_study

from certibayes.cli import main as certibayes
from certibayes.writing import PARTIAL

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("stage", STAGES)
def test_a_job_whose_largest_file_does_not_fit_names_it_and_is_done_later(
    small_copy, tmp_path, stage
):
    study, layout, original = small_copy
    folder = job_of(study, layout, stage)[1]
    expected = contents(job_of(study, original, stage)[1])
    largest = max(outputs_of(folder), key=lambda path: path.stat().st_size)
    limit = largest.stat().st_size - 1
    for path in outputs_of(folder):
        path.unlink()

    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        return run_job(tmp_path, study, layout, stage)

    code, output = in_child(full)
    assert code == 1, output
    assert ": cannot be written: " in output
    assert "start the study again, it goes on from what is finished" in output
    assert "Traceback" not in output
    left = contents(folder)
    assert "run.json" not in left
    assert left == {name: expected[name] for name in left}
    assert list(layout.root.rglob(f".*{PARTIAL}*")) == []

    code, output = in_child(lambda: run_job(tmp_path, study, layout, stage))
    assert code == 0, output
    assert contents(folder) == expected


@pytest.fixture
def foreign(small_finished):
    """A copy of the finished study that belongs to somebody else, in a folder open to all."""
    base = open_folder()
    shutil.copytree(small_finished / "results", base / "results")
    study, layout = load_study(base, small_study())
    (base / "logs").mkdir(mode=0o777)
    (base / "logs").chmod(0o777)
    if os.geteuid() != 0:
        for path in (base, *base.rglob("*")):
            path.chmod(path.stat().st_mode & ~0o222)
        (base / "logs").chmod(0o777)
    yield base, study, layout
    for path in (base, *base.rglob("*")):
        path.chmod(path.stat().st_mode | 0o700)
    shutil.rmtree(base)


@pytest.mark.parametrize("stage", STAGES)
def test_read_only_results_are_named_and_stay(foreign, stage):
    base, study, layout = foreign
    folder = job_of(study, layout, stage)[1]
    before = contents(folder)

    def run():
        become_nobody()
        return run_job(base, study, layout, stage)

    code, output = in_child(run)
    assert code == 1, output
    assert "results/tiny/" in output
    assert ": cannot be written: Permission denied; let user " in output
    assert "write there, or copy the folder to where it may" in output
    assert "Traceback" not in output
    assert contents(folder) == before


@pytest.mark.parametrize("command", ["run", "unlock"])
def test_a_study_in_a_read_only_folder_is_refused_in_one_line(foreign, command):
    base, _, _ = foreign

    def run():
        become_nobody()
        os.chdir(base)
        return certibayes([command, "--config", "study.yaml"])

    code, output = in_child(run)
    assert code == 1, output
    assert "results/tiny/.lock: cannot be written: Permission denied; let user " in output
    assert len(output.splitlines()) == 1


def test_read_only_results_can_be_read(foreign):
    base, study, layout = foreign
    folder = job_of(study, layout, "retrain")[1]

    def read():
        become_nobody()
        os.chdir(base)
        from certibayes import load

        posterior = load(folder.parent)
        assert posterior.sample((3,), x=[0.0] * 10).shape == (3, 10)
        return certibayes(["trace", str(folder / "weights.safetensors")])

    code, output = in_child(read)
    assert code == 0, output
    assert "CHANGED" not in output


def test_without_a_folder_for_logs_a_job_says_so(foreign):
    base, study, layout = foreign
    (base / "logs").chmod(0o555)

    def run():
        become_nobody()
        return run_job(base, study, layout, "train")

    code, output = in_child(run)
    assert code == 1, output
    assert output.startswith("logs/train.log: cannot be written: Permission denied; ")
    assert len(output.splitlines()) == 1
