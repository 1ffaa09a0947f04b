"""How far a shard is, for whoever watches the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Logs a line at most every ten seconds: rows done, rows/s, failed so far, seconds left."""

    def __init__(
        self,
        label: str,
        rows: int,
        stop_if_asked: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the clock.

        Args:
            label: which simulations, e.g. "shard 3 of sir".
            rows: simulations asked for.
            stop_if_asked: called between calls of the simulator and while one is waited for; an
                exception of its own ends the simulations.
            clock: seconds.
        """
        self.label = label
        self.rows = rows
        self._stop_if_asked = stop_if_asked
        self._clock = clock
        self._started = self._spoken = clock()
        self._done = self._failed = 0

    def update(self, done: int, failed: int) -> None:
        """Take note of rows that are done, failed ones among them."""
        self._done, self._failed = done, failed
        self.tick()

    def tick(self) -> None:
        """Log a line if it is time to, and end if asked to."""
        self._stop_if_asked()
        now = self._clock()
        if now - self._spoken < SECONDS_BETWEEN_LINES:
            return
        self._spoken = now
        rate = self._done / (now - self._started)
        left = f"{(self.rows - self._done) / rate:.0f} s left" if rate else "no row done yet"
        log.info(
            "%s: %d of %d rows, %.3g rows/s, %d failed, %s",
            self.label,
            self._done,
            self.rows,
            rate,
            self._failed,
            left,
        )
