"""A full disk: every kind of file is named, stays as it was, and can be written afterwards."""

import errno
import os

import numpy as np
import pandas as pd
import pytest
import torch
from full_disk import limited
from matplotlib.figure import Figure

from certibayes import io
from certibayes.address import Session
from certibayes.checkpoint import Checkpoint
from certibayes.commands.stage import configure_logging
from certibayes.flock import locked
from certibayes.journal import Journal, read
from certibayes.layout import Layout
from certibayes.locking import StudyLock, StudyLockedError
from certibayes.report import summary
from certibayes.writing import WriteError, atomic, free_megabytes, user_name, writing

LIMIT = 300
NUMBERS = np.random.default_rng(0).normal(size=1000)


def figure(path):
    picture = Figure()
    picture.subplots().plot(NUMBERS)
    with atomic(path) as temporary:
        picture.savefig(temporary, format="png")


def page(path):
    with atomic(path) as temporary:
        temporary.write_text("<p>" * 1000)


def tensors(path):
    return {"w": torch.from_numpy(NUMBERS)}


WRITERS = {
    "x.npy": lambda path: io.save_array(path, NUMBERS),
    "test.npz": lambda path: io.save_arrays(path, {"a": NUMBERS, "b": NUMBERS}),
    "scale.json": lambda path: io.write_json(path, NUMBERS.tolist()),
    "weights.safetensors": lambda path: io.save_weights(path.parent, tensors(path), {}),
    "manifest.json": lambda path: io.save_weights(path.parent, {}, {"job": "x" * 1000}),
    "checkpoint.safetensors": lambda path: Checkpoint(path).save({"a": tensors(path)}),
    "metrics.csv": lambda path: summary.write(pd.DataFrame({"a": NUMBERS}), path),
    "figure.png": figure,
    "summary.html": page,
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("part", ["first block", "last byte"])
def test_a_file_that_does_not_fit_is_named_and_the_old_one_stays(tmp_path, name, part):
    path = tmp_path / name
    WRITERS[name](path)
    size = path.stat().st_size
    assert size > LIMIT
    path.write_text("old")
    limit = LIMIT if part == "first block" else size - 1
    message = limited(limit, lambda: WRITERS[name](path))
    assert message.startswith(f"{path}: cannot be written: ")
    assert message.endswith("then start the study again, it goes on from what is finished")
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir() if one.name[0] == "."] == []
    WRITERS[name](path)
    assert path.stat().st_size == size
    assert {one.name for one in tmp_path.iterdir()} <= {name, io.WEIGHTS, io.MANIFEST}


def test_a_session_that_does_not_fit_is_named(tmp_path):
    session, layout = Session("sqlite:///" + "x" * LIMIT, True), Layout(tmp_path)
    assert f"{tmp_path}/.state/tracking.json: " in limited(LIMIT, lambda: session.write(layout))


def test_a_journal_line_that_does_not_fit_leaves_nothing_of_it(tmp_path):
    path = tmp_path / "a.jsonl"

    def fill():
        journal = Journal(path)
        try:
            for step in range(100):
                journal.metrics({"loss": float(step)}, step)
        finally:
            for step in range(2):
                with pytest.raises(WriteError):
                    journal.metrics({f"another_{'x' * 100}": 0.0}, step)
            journal.close()

    assert f"{path}: cannot be written: File too large; raise the limit" in limited(LIMIT, fill)
    steps = [point.step for point in read(path).points]
    assert steps == list(range(len(steps)))
    assert 1 < len(steps) < 10
    assert path.read_bytes().endswith(b"\n")
    journal = Journal(path)
    journal.metrics({"loss": 7.0}, 99)
    journal.close()
    assert [point.step for point in read(path).points] == [*steps, 99]


@pytest.mark.parametrize(
    "use",
    [
        lambda path: locked(path, 0.0, "me").__enter__(),
        lambda path: StudyLock(path.parent).acquire(),
        lambda path: configure_logging(path),
        lambda path: Journal(path),
    ],
    ids=["lock", "study lock", "log", "journal"],
)
def test_locks_and_logs_that_cannot_be_made_are_named(tmp_path, use):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(WriteError, match=f"{tmp_path}/file/.*: cannot be written: .*; see to"):
        use(tmp_path / "file" / ".lock")


def test_a_holder_whose_name_did_not_fit_is_told_as_far_as_it_goes(tmp_path):
    with StudyLock(tmp_path):
        (tmp_path / ".lock").write_text('{"pid": 12')
        with pytest.raises(StudyLockedError, match=r'runs this study: \{"pid": 12; wait'):
            StudyLock(tmp_path).acquire()


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("ENOSPC", r"No space left on device; make room on this disk \(\d+ MB are free\)"),
        ("EDQUOT", "Disk quota exceeded; make room"),
        ("EFBIG", r"File too large; raise the limit of the size of a file \(ulimit -f\)"),
        ("EROFS", "Read-only file system; mount this file system writable"),
        ("EACCES", f"Permission denied; let user {user_name()} write there"),
        ("EIO", "Input/output error; see to the disk"),
    ],
)
def test_what_to_do_depends_on_what_the_system_says(tmp_path, code, advice):
    number = getattr(errno, code)
    with pytest.raises(WriteError, match=advice), writing(tmp_path / "a"):
        raise OSError(number, os.strerror(number))


def test_errors_about_other_files_pass_unchanged(tmp_path):
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "a"):
        (tmp_path / "elsewhere" / "b").read_text()
    assert list(tmp_path.iterdir()) == []


def test_free_space_is_that_of_the_nearest_folder(tmp_path):
    assert free_megabytes(tmp_path / "no" / "such" / "file") > 0
