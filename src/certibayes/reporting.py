"""Send journals to the tracking store: one attempt while it runs, or old journals afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from certibayes.address import TrackingError, workflow_base
from certibayes.config.tracking import Tracking
from certibayes.io import write_json
from certibayes.journal import SUFFIX, Journal, Record, marker_of, read
from certibayes.layout import Layout
from certibayes.preparation import connect, warn_unreachable
from certibayes.process import alive
from certibayes.tracking import Store

SEND_SECONDS = 15.0


class Reporter:
    """Sends one attempt's journal; a failing store is an error in mode "strict" only."""

    def __init__(self, tracking: Tracking, study: str, layout: Layout, journal: Journal) -> None:
        self.tracking = tracking
        self.study = study
        self.layout = layout
        self.journal = journal
        self._store: Store | None = None
        self._run_id: str | None = None
        self._lost = False
        self._sent_points = 0
        self._sent_params: set[str] = set()
        self._sent_at = time.monotonic()

    def start(self) -> None:
        """Open the run and end unfinished earlier runs of the same job."""
        with self._tolerant():
            self._store = connect(self.tracking, self.study, self.layout)
            if self._store is None:
                return
            self._run_id = self._store.start(self.journal.record)
            self.journal.run(self._run_id)
            self._store.supersede(self.journal.record.header["job_key"], self._run_id)
            self.flush()

    def flush(self, after: float = 0.0) -> None:
        """Send what is new, unless the last sending was less than `after` seconds ago."""
        if self._store is None or self._run_id is None or self._lost:
            return
        if time.monotonic() - self._sent_at < after:
            return
        record, start = self.journal.record, self._sent_points
        params = {n: v for n, v in record.params.items() if n not in self._sent_params}
        with self._tolerant():
            self._store.send(self._run_id, record.points[start:], params)
            self._sent_points = len(record.points)
            self._sent_params.update(params)
        self._sent_at = time.monotonic()

    def finish(self) -> None:
        """Send the rest, artifacts and the status; after an outage, what the store misses."""
        if self._store is None:
            return
        with self._tolerant():
            if self._lost or self._run_id is None:
                self.journal.run(replay(self._store, self.journal.path, self.layout))
                return
            self.flush()
            if not self._lost:
                _finish(
                    self._store, self._run_id, self.journal.path, self.journal.record, self.layout
                )

    @contextmanager
    def _tolerant(self) -> Iterator[None]:
        try:
            yield
        except TrackingError as error:
            if self.tracking.mode == "strict":
                raise
            if not self._lost:
                warn_unreachable(self.layout, error)
            self._lost = True


def journals(layout: Layout, again: bool = False) -> list[Path]:
    """Return the tracked journals that the store does not have completely, newest first.

    Args:
        layout: paths of the study.
        again: whether to return those that the store once had, too.
    """
    waiting = [
        (record.header["started"], path)
        for path in sorted(layout.state.glob(f"*/*{SUFFIX}"))
        if again or not marker_of(path).exists()
        for record in [read(path)]
        if record.header.get("tracked")
    ]
    return [path for _, path in sorted(waiting, reverse=True)]


def sync(store: Store, layout: Layout, again: bool = False) -> int:
    """Replay every journal that waits, but those of living attempts; return how many.

    With `again` those that were sent already are replayed too; what the store has is not sent.

    Raises:
        TrackingError: if the store fails; what it has already is not sent again later.
    """
    done = 0
    for path in journals(layout, again):
        record = read(path)
        if record.status is None:
            if alive(record.header["tags"]):
                continue
            end_killed(path, None)
        replay(store, path, layout)
        done += 1
    return done


def end_killed(path: Path, superseded_by: str | None) -> None:
    """Write into the journal of a killed attempt how it ended and which attempt took over."""
    journal = Journal(path)
    journal.status("KILLED", {"superseded_by": superseded_by} if superseded_by else {})
    journal.close()


def replay(store: Store, path: Path, layout: Layout) -> str:
    """Bring the run of a journal to what the journal says, nothing twice; return the run's id.

    Raises:
        TrackingError: if the store fails.
    """
    record = read(path)
    run_id = store.find(record.header["attempt_id"]) or store.start(record)
    store.send(run_id, store.missing(run_id, record.points), record.params)
    if "superseded_by" in record.tags:
        newer = record.tags["superseded_by"]
        record.tags["superseded_by"] = store.find(newer) or newer
    _finish(store, run_id, path, record, layout)
    return run_id


def _finish(store: Store, run_id: str, path: Path, record: Record, layout: Layout) -> None:
    store.finish(run_id, record, workflow_base(layout))
    write_json(marker_of(path), {"run_id": run_id, "uri": store.session.uri})
