"""Which simulated pairs a model is trained on and which judge it."""

from __future__ import annotations

import numpy as np

from certibayes.config.jobs import ModelJob
from certibayes.io import load_array
from certibayes.layout import Layout
from certibayes.mapped_rows import MappedRows
from certibayes.rows import Pairs
from certibayes.stages.data import shard_files

IN_MEMORY_BYTES = 2**28
"""Training reads pairs from memory up to this size: 1.4 million rows of 31 + 15 numbers."""


def load_rows(layout: Layout, job: ModelJob) -> tuple[Pairs, Pairs]:
    """Return training and validation rows of the job's budget; failed simulations are left out.

    Up to `IN_MEMORY_BYTES` of pairs are read once; more stay in their files, memory-mapped.
    """
    size = job.task_spec.shard_size
    folders = [layout.shard(job, shard) for shard in range(job.task_spec.shards(job.budget))]
    files = [(target, x) for target, x, _ in map(shard_files, folders)]
    parts: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for shard, folder in enumerate(folders):
        valid = load_array(shard_files(folder)[2])[: job.budget - shard * size]
        rows = shard * size + np.flatnonzero(valid)
        held_out = is_validation(rows, job.model_spec.validation_fraction)
        parts[0].append(rows[~held_out])
        parts[1].append(rows[held_out])
    training, validation = (MappedRows(files, size, np.concatenate(part)) for part in parts)
    if training.nbytes + validation.nbytes > IN_MEMORY_BYTES:
        return training, validation
    return training.in_memory(), validation.in_memory()


def is_validation(rows: np.ndarray, fraction: float) -> np.ndarray:
    """Tell which row indices belong to the validation part: a hash of the index (splitmix64)."""
    with np.errstate(over="ignore"):
        z = rows.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return z / 2.0**64 < fraction
