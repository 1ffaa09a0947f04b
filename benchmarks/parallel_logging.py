"""Jobs that log metric points at once into one sqlite file, and what it holds afterwards."""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from certibayes.config.tracking import Tracking
from certibayes.journal import Journal, now
from certibayes.layout import Layout
from certibayes.preparation import connect, prepare
from certibayes.process import identity
from certibayes.reporting import SEND_SECONDS, Reporter, sync

STUDY = "logging"
METRICS = 10
"""Metrics of a job; its points are spread over them."""
TRACKING = Tracking()


@dataclass(frozen=True)
class Logged:
    """What came of it.

    Attributes:
        jobs: number of jobs.
        points: of each.
        found: points in the database.
        doubled: points of one run, metric and step beside the first.
        missing: points that some job logged and the database lacks.
        seconds: from the start of the first job until all is in the database.
    """

    jobs: int
    points: int
    found: int
    doubled: int
    missing: int
    seconds: float


def log_in_parallel(base: Path, jobs: int, points: int) -> Logged:
    """Let jobs log at once, as stages do, and replay what a busy store refused.

    Args:
        base: an empty folder, or one with a prepared `mlflow.db`.
        jobs: processes.
        points: metric points of each, a multiple of `METRICS`.
    """
    layout = _layout(base)
    prepare(TRACKING, STUDY, layout)
    context = multiprocessing.get_context("spawn")
    start = time.perf_counter()
    processes = [context.Process(target=log, args=(base, n, points)) for n in range(jobs)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    store = connect(TRACKING, STUDY, layout)
    assert store is not None
    sync(store, layout)
    return _count(base / "mlflow.db", jobs, points, time.perf_counter() - start)


def log(base: Path, number: int, points: int) -> None:
    """Be one job: open a run, log every point, end the run."""
    layout = _layout(base)
    journal = Journal(layout.state / f"job{number}" / f"job{number}.1.jsonl")
    key = f"job{number}"
    tags = {"attempt_id": key, "job_key": key, "stage": "train", **identity()}
    header = {"attempt_id": key, "job_key": key, "run_name": key, "started": now()}
    journal.header({**header, "tracked": True, "inputs": {}, "tags": tags})
    reporter = Reporter(TRACKING, STUDY, layout, journal)
    reporter.start()
    for step in range(points // METRICS):
        values = {f"train/loss{one}": value_of(number, one, step) for one in range(METRICS)}
        journal.metrics(values, step)
        reporter.flush(after=SEND_SECONDS)
    journal.status("FINISHED")
    reporter.finish()
    journal.close()


def value_of(number: int, metric: int, step: int) -> float:
    """Return the value that a job logs, another one for every job, metric and step."""
    return number + metric / 10 + step * 1e-6


def _layout(base: Path) -> Layout:
    return Layout(base / "results" / STUDY)


def _count(database: Path, jobs: int, points: int, seconds: float) -> Logged:
    with sqlite3.connect(database) as connection:
        rows = connection.execute(
            "select tags.value, metrics.key, metrics.step, metrics.value from metrics "
            "join tags on metrics.run_uuid = tags.run_uuid and tags.key = 'job_key'"
        ).fetchall()
    connection.close()
    expected = {
        (f"job{number}", f"train/loss{one}", step, value_of(number, one, step))
        for number in range(jobs)
        for one in range(METRICS)
        for step in range(points // METRICS)
    }
    places = {row[:3] for row in rows}
    missing = len(expected - set(rows))
    return Logged(jobs, points, len(rows), len(rows) - len(places), missing, seconds)
