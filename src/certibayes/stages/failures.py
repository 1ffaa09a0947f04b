"""Counts of failed simulations on disk, summed over shards, and as metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from certibayes.io import read_json
from certibayes.simulation.tally import EXAMPLES, REASONS

FAILURES = "failures.json"


def no_failures(rows: int) -> dict[str, Any]:
    """Return the counts of rows that were not simulated, or that all succeeded."""
    return {"rows": rows, "failed": 0, "by_reason": dict.fromkeys(REASONS, 0), "examples": []}


def counts_of_shards(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the counts of every shard."""
    return [read_json(folder / FAILURES) for folder in folders]


def sum_of_shards(shards: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the counts of all shards together; each example states its shard."""
    total = no_failures(0)
    for shard, counts in enumerate(shards):
        total["rows"] += counts["rows"]
        total["failed"] += counts["failed"]
        for reason in REASONS:
            total["by_reason"][reason] += counts["by_reason"][reason]
        total["examples"] += [{"shard": shard, **example} for example in counts["examples"]]
    total["examples"] = total["examples"][:EXAMPLES]
    return total


def metrics_of(counts: dict[str, Any], stem: str = "simulate/failed") -> dict[str, float]:
    """Return failed rows and failed rows by reason as metrics."""
    by_reason = {f"{stem}_{reason}": n for reason, n in counts["by_reason"].items()}
    return {stem: counts["failed"], **by_reason}
