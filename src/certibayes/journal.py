"""The journal of one attempt: JSON lines, written before anything is sent to a tracking server.

A journal is only appended to. It outlives the job, so that `certibayes sync` can replay it. An
attempt that resumes from a checkpoint copies the earlier journal up to the checkpoint's position:
its own journal tells the whole history, and no point twice.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from certibayes.io import FileFormatError
from certibayes.writing import writing

SUFFIX = ".jsonl"
SENT = ".sent.json"
KEY_LENGTH = 24
"""Digits of a job key in the names of state folders and journals."""


@dataclass(frozen=True)
class Point:
    """One value of one metric; time in milliseconds since 1970."""

    name: str
    value: float
    step: int
    time: int


@dataclass
class Record:
    """What a journal says.

    Attributes:
        header: identity of the attempt: attempt_id, job_key, run_name, started, tags, inputs.
        params: parameters by name.
        points: metric values in order.
        artifacts: files to keep with the run, relative to the workflow's folder.
        status: FINISHED, FAILED, KILLED, or None while unfinished.
        ended: time of the status, in milliseconds since 1970.
        tags: tags that came with the status.
        run_id: run that was opened for the attempt, if the store could be reached.
    """

    header: dict[str, Any] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)
    status: str | None = None
    ended: int | None = None
    tags: dict[str, str] = field(default_factory=dict)
    run_id: str | None = None


def now() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Journal:
    """Writer of one attempt's journal; every line reaches the system before the call returns.

    A line that the disk does not take leaves nothing of it. Every method raises WriteError then.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            cut(path, None)
            self._file = path.open("ab", buffering=0)
        self.record = read(path)
        self._latest = {(p.name, p.step): p.value for p in self.record.points}
        self._last_step: dict[str, int] = {}
        for point in self.record.points:
            self._last_step[point.name] = point.step

    @property
    def position(self) -> int:
        """Length in bytes: where a checkpoint says that the journal has to be cut."""
        return self._file.tell()

    def header(self, entries: Mapping[str, Any]) -> None:
        """Say whose journal this is."""
        self.record.header = dict(entries)
        self._append("header", entries=dict(entries))

    def run(self, run_id: str) -> None:
        """Record which run was opened."""
        self.record.run_id = run_id
        self._append("run", run_id=run_id)

    def params(self, values: Mapping[str, object]) -> None:
        """Record parameters.

        Raises:
            ValueError: if one is recorded already with another value.
        """
        texts = {name: str(value) for name, value in values.items()}
        for name, text in texts.items():
            known = self.record.params.get(name, text)
            if known != text:
                raise ValueError(f"param {name}: got {text!r}; allowed: {known!r}, as recorded")
        self.record.params.update(texts)
        self._append("params", values=texts)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record one value per metric; a point that is recorded already is not repeated.

        Raises:
            ValueError: if a metric has another value at this step already.
        """
        fresh = {n: float(v) for n, v in values.items() if not self._known(n, step, float(v))}
        if fresh:
            self._points(fresh, step, now())

    def final(self, values: Mapping[str, float]) -> None:
        """Record values without a step: after the last one of each metric, unless equal to it."""
        for name, value in values.items():
            last = self._last_step.get(name)
            if last is None:
                self.metrics({name: value}, 0)
            elif not _same(self._latest[name, last], float(value)):
                self.metrics({name: value}, last + 1)

    def artifact(self, path: str) -> None:
        """Record a file to keep with the run, relative to the workflow's folder."""
        if path not in self.record.artifacts:
            self.record.artifacts.append(path)
            self._append("artifact", path=path)

    def status(self, status: str, tags: Mapping[str, str] | None = None) -> None:
        """Record how the attempt ended."""
        entry = {"status": status, "ended": now(), "tags": dict(tags or {})}
        self._append("status", **entry)
        _apply(self.record, {"kind": "status", **entry})

    def take(self, source: Path, position: int) -> Record:
        """Copy points and new params of another journal up to a position; return what it says."""
        record = read(source, position)
        self.params({n: v for n, v in record.params.items() if n not in self.record.params})
        for point in record.points:
            if not self._known(point.name, point.step, point.value):
                self._points({point.name: point.value}, point.step, point.time)
        return record

    def flush(self) -> None:
        """Force everything written so far onto the disk."""
        with writing(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flush and close; a second time does nothing."""
        if not self._file.closed:
            try:
                self.flush()
            finally:
                self._file.close()

    def _known(self, name: str, step: int, value: float) -> bool:
        known = self._latest.get((name, step))
        if known is None:
            return False
        if not _same(known, value):
            raise ValueError(
                f"metric {name} at step {step}: got {value!r}; allowed: {known!r}, as recorded"
            )
        return True

    def _points(self, values: dict[str, float], step: int, at: int) -> None:
        self._append("metrics", step=step, time=at, values=values)
        for name, value in values.items():
            self._latest[name, step] = value
            self._last_step[name] = step
            self.record.points.append(Point(name, value, step, at))

    def _append(self, kind: str, **entry: Any) -> None:
        line = json.dumps({"kind": kind, **entry}).encode() + b"\n"
        start = self.position
        with writing(self.path):
            try:
                while line:
                    line = line[self._file.write(line) :]
            except OSError:
                os.ftruncate(self._file.fileno(), start)
                self._file.seek(start)
                raise


def read(path: Path, until: int | None = None) -> Record:
    """Return what a journal says up to a position in bytes; a torn last line is left out.

    Raises:
        FileFormatError: if a line is something else.
    """
    record = Record()
    for number, line in enumerate(path.read_bytes()[:until].split(b"\n")[:-1], 1):
        try:
            _apply(record, json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FileFormatError(
                f"{path}: line {number} is no entry of a journal ({error!r}); move the file away "
                "and start the study again: nothing but this history is lost"
            ) from None
    return record


def cut(path: Path, position: int | None) -> None:
    """Shorten a journal to a position in bytes, or, with None, by its torn last line."""
    if not path.exists():
        return
    content = path.read_bytes()[:position]
    os.truncate(path, content.rfind(b"\n") + 1)


def _apply(record: Record, entry: dict[str, Any]) -> None:
    kind = entry["kind"]
    if kind == "header":
        record.header = entry["entries"]
    elif kind == "params":
        record.params.update(entry["values"])
    elif kind == "metrics":
        step, at = entry["step"], entry["time"]
        record.points.extend(Point(n, v, step, at) for n, v in entry["values"].items())
    elif kind == "run":
        record.run_id = entry["run_id"]
    elif kind == "artifact":
        record.artifacts.append(entry["path"])
    elif kind == "status":
        record.status, record.ended = entry["status"], entry["ended"]
        record.tags.update(entry["tags"])


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def marker_of(path: Path) -> Path:
    """Return the file beside a journal that says that the tracking server has all of it."""
    return path.with_name(path.name.removesuffix(SUFFIX) + SENT)
