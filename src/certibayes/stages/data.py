"""Simulations, reference draws and units on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from certibayes.config.jobs import Job, ModelJob
from certibayes.io import load_arrays, read_json
from certibayes.layout import Layout
from certibayes.threat import Scale


@dataclass(frozen=True)
class Rows:
    """Pairs of target and x; float32 (labels int64)."""

    target: Tensor
    x: Tensor


@dataclass(frozen=True)
class Reference:
    """Test pairs and real observations, float64; `observed` has shape (m, x_dim), maybe m = 0."""

    target: Tensor
    x: Tensor
    observed: Tensor


def is_validation(rows: np.ndarray, fraction: float) -> np.ndarray:
    """Tell which row indices belong to the validation part: a hash of the index (splitmix64)."""
    with np.errstate(over="ignore"):
        z = rows.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return z / 2.0**64 < fraction


def shard_files(folder: Path) -> list[Path]:
    """Return the arrays of one shard."""
    return [folder / name for name in ("target.npy", "x.npy", "valid.npy")]


def load_rows(layout: Layout, job: ModelJob) -> tuple[Rows, Rows]:
    """Return training and validation rows of the job's budget; failed simulations are left out."""
    targets, observations, validation = [], [], []
    size = job.task_spec.shard_size
    for shard in range(job.task_spec.shards(job.budget)):
        first = shard * size
        rows = min(size, job.budget - first)
        target, x, valid = (
            np.load(path, mmap_mode="r")[:rows] for path in shard_files(layout.shard(job, shard))
        )
        targets.append(target[valid])
        observations.append(x[valid].astype(np.float32))
        index = np.arange(first, first + rows)[valid]
        validation.append(is_validation(index, job.model_spec.validation_fraction))
    target, x, held_out = map(np.concatenate, (targets, observations, validation))
    if target.dtype != np.int64:
        target = target.astype(np.float32)
    return (
        Rows(torch.from_numpy(target[~held_out]), torch.from_numpy(x[~held_out])),
        Rows(torch.from_numpy(target[held_out]), torch.from_numpy(x[held_out])),
    )


def load_scale(layout: Layout, job: Job) -> Scale:
    """Return the units of the job's task."""
    stored = read_json(layout.reference(job) / "scale.json")
    return Scale(torch.tensor(stored["feature_std"], dtype=torch.float64), stored["within_std"])


def load_reference(layout: Layout, job: Job) -> Reference:
    """Return the test pairs and the real observations of the job's task."""
    arrays = load_arrays(layout.reference(job) / "test.npz")
    return Reference(*(torch.from_numpy(arrays[name]) for name in ("target", "x", "observed")))
