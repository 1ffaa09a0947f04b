import math
from contextlib import ExitStack

import pytest
import torch

from certibayes.checkpoint import CheckpointError
from certibayes.io import FileFormatError
from certibayes.journal import Journal, cut, read
from certibayes.resumption import JournaledCheckpoint


@pytest.fixture
def journal_at(tmp_path):
    """Open journals in the temporary folder; all are closed at the end of the test."""
    with ExitStack() as stack:

        def open_journal(name="a.jsonl"):
            journal = Journal(tmp_path / name)
            stack.callback(journal.close)
            return journal

        yield open_journal


def _points(record):
    return [(p.name, p.step, p.value) for p in record.points]


def test_everything_written_is_read_again(tmp_path, journal_at):
    journal = journal_at()
    journal.header({"attempt_id": "1", "job_key": "k"})
    journal.params({"rate": 0.1})
    journal.metrics({"loss": 2.0, "bad": math.nan}, 3)
    journal.artifact("x/weights.safetensors")
    journal.run("r1")
    journal.status("FINISHED", {"output.a": "digest"})
    record = read(tmp_path / "a.jsonl")
    assert record.header == {"attempt_id": "1", "job_key": "k"}
    assert record.params == {"rate": "0.1"}
    assert _points(record)[0] == ("loss", 3, 2.0)
    assert math.isnan(record.points[1].value)
    assert record.artifacts == ["x/weights.safetensors"]
    assert (record.status, record.tags, record.run_id) == ("FINISHED", {"output.a": "digest"}, "r1")
    assert record.ended >= record.points[0].time


def test_every_line_is_in_the_file_at_once(tmp_path, journal_at):
    journal = journal_at()
    journal.metrics({"loss": 1.0}, 0)
    assert _points(read(journal.path)) == [("loss", 0, 1.0)]
    assert journal.position == journal.path.stat().st_size


def test_a_torn_last_line_is_dropped_and_written_over(tmp_path, journal_at):
    path = tmp_path / "a.jsonl"
    journal = journal_at()
    journal.metrics({"loss": 1.0}, 0)
    journal.metrics({"loss": 2.0}, 1)
    path.write_bytes(path.read_bytes()[:-5])
    assert _points(read(path)) == [("loss", 0, 1.0)]
    again = journal_at()
    again.metrics({"loss": 3.0}, 1)
    assert _points(read(path)) == [("loss", 0, 1.0), ("loss", 1, 3.0)]


def test_cut_shortens_to_a_position(tmp_path, journal_at):
    journal = journal_at()
    journal.metrics({"loss": 1.0}, 0)
    position = journal.position
    journal.metrics({"loss": 2.0}, 1)
    assert _points(read(journal.path, position)) == [("loss", 0, 1.0)]
    cut(journal.path, position)
    assert _points(read(journal.path)) == [("loss", 0, 1.0)]


def test_a_point_is_recorded_once_and_never_changed(tmp_path, journal_at):
    journal = journal_at()
    journal.metrics({"loss": 1.0, "other": math.nan}, 0)
    journal.metrics({"loss": 1.0, "other": math.nan, "new": 5}, 0)
    assert [name for name, _, _ in _points(read(journal.path))] == ["loss", "other", "new"]
    with pytest.raises(ValueError, match=r"metric loss at step 0: got 2.0; allowed: 1.0"):
        journal.metrics({"loss": 2.0}, 0)
    with pytest.raises(ValueError, match=r"param a: got '2'; allowed: '1'"):
        journal.params({"a": 1}) or journal.params({"a": 2})


def test_final_values_come_after_the_last_step_unless_equal(tmp_path, journal_at):
    journal = journal_at()
    journal.metrics({"a": 1.0, "b": 1.0}, 4)
    journal.final({"a": 1.0, "b": 2.0, "c": 3.0})
    assert _points(journal.record) == [("a", 4, 1.0), ("b", 4, 1.0), ("b", 5, 2.0), ("c", 0, 3.0)]


def test_a_resumed_attempt_continues_the_journal_cut_at_the_checkpoint(tmp_path, journal_at):
    first = journal_at("a.1.jsonl")
    first.header({"attempt_id": "one"})
    first.params({"rate": 0.1})
    checkpoint = JournaledCheckpoint(tmp_path / "c.safetensors", first)
    assert checkpoint.load() is None
    for step in range(10):
        first.metrics({"loss": float(step)}, step)
        if step == 5:
            checkpoint.save({"step": step, "w": torch.ones(1)})
    second = journal_at("a.2.jsonl")
    second.header({"attempt_id": "two"})
    resumed = JournaledCheckpoint(tmp_path / "c.safetensors", second)
    assert resumed.exists()
    start = resumed.load()["step"] + 1
    assert resumed.resumed_from == "one"
    for step in range(start, 10):
        second.metrics({"loss": 10.0 + step}, step)
        if step == 7:
            resumed.save({"step": step})
    expected = [("loss", s, float(s) if s < 6 else 10.0 + s) for s in range(10)]
    assert _points(read(second.path)) == expected
    third = journal_at("a.3.jsonl")
    JournaledCheckpoint(tmp_path / "c.safetensors", third).load()
    assert _points(read(third.path)) == expected[:8]
    assert read(third.path).params == {"rate": "0.1"}
    times = [p.time for p in read(first.path).points[:6]]
    assert [p.time for p in read(third.path).points[:6]] == times
    assert _points(read(first.path)) == [("loss", s, float(s)) for s in range(10)]


def test_a_checkpoint_whose_journal_is_gone_says_so(tmp_path, journal_at):
    first = journal_at("a.1.jsonl")
    JournaledCheckpoint(tmp_path / "c.safetensors", first).save({"step": 1})
    first.path.unlink()
    resumed = JournaledCheckpoint(tmp_path / "c.safetensors", journal_at("a.2.jsonl"))
    with pytest.raises(
        CheckpointError, match=r"belongs to .*a\.1\.jsonl, which is gone; remove it"
    ):
        resumed.load()


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"kind": "run", "run_id": "r"}\n{"kind": "me{"kind": "run"}\n')
    with pytest.raises(FileFormatError, match=r"a\.jsonl: line 2 is no entry of a journal"):
        read(path)
