"""How many simulations of every task failed, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from certibayes.io import read_json
from certibayes.simulation.tally import REASONS

PARTS = ("training", "test", "units")


def read_simulations(files: Sequence[Path]) -> pd.DataFrame:
    """Return one row per simulator and part: training rows, test pairs, draws for the units.

    Args:
        files: failures.json of the tasks; data sets, which simulate nothing, are left out.

    Returns:
        Columns task, part, rows, failed, one per reason, policy, at_most.
    """
    rows = []
    for path in files:
        stored = read_json(path)
        if stored["policy"] is None:
            continue
        terms = {name: stored["policy"][name] for name in ("policy", "at_most")}
        for part in PARTS:
            counts = stored[part]
            about = {"task": stored["task"], "part": part, "rows": counts["rows"]}
            rows.append(about | {"failed": counts["failed"]} | counts["by_reason"] | terms)
    columns = ["task", "part", "rows", "failed", *REASONS, "policy", "at_most"]
    return pd.DataFrame(rows, columns=columns)


def render_simulations(table: pd.DataFrame) -> str:
    """Return one line per task and part in which simulations failed; empty if none did."""
    lines = []
    for _, row in table[table["failed"] > 0].iterrows():
        reasons = ", ".join(
            f"{row[name]} {name.replace('_', ' ')}" for name in REASONS if row[name]
        )
        lines.append(
            f"{row['task']}, {row['part']}: {row['failed']} of {row['rows']} simulations failed "
            f"({reasons}), policy {row['policy']}"
        )
    return "\n".join(lines) + "\n" if lines else ""
