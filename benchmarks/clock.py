"""The clocks that a benchmark may measure by, and the options of benchmarks that take turns."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
"""By name. Seconds of the processor, of all threads together, for a machine that does other things
too; where the targets are to be judged, a quiet machine and the wall clock."""
DESCRIPTIONS = {
    "wall": "wall clock",
    "cpu": "processor time, on a machine that did other things at the same time",
}


def turn_options(description: str | None, page: Path) -> argparse.Namespace:
    """Read the options of a benchmark whose versions take turns.

    Args:
        description: what `--help` says first.
        page: where the page is written unless `--page` names another file.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=15, help="turns of every version")
    parser.add_argument("--steps", type=int, default=20, help="steps of a turn")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--page", type=Path, default=page, help="where the page is written")
    return parser.parse_args()
