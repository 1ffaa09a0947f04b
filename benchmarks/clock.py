"""The clocks that a benchmark may measure by."""

from __future__ import annotations

import time
from collections.abc import Callable

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
"""By name. Seconds of the processor, of all threads together, for a machine that does other things
too; where the targets are to be judged, a quiet machine and the wall clock."""
DESCRIPTIONS = {
    "wall": "wall clock",
    "cpu": "processor time, on a machine that did other things at the same time",
}
