"""Files of simulations, reference draws and units."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from certibayes.config.jobs import Job
from certibayes.io import load_arrays, read_json
from certibayes.layout import Layout
from certibayes.threat import Scale


@dataclass(frozen=True)
class Reference:
    """Test pairs and real observations, float64; `observed` has shape (m, x_dim), maybe m = 0."""

    target: Tensor
    x: Tensor
    observed: Tensor


def shard_files(folder: Path) -> list[Path]:
    """Return the arrays of one shard."""
    return [folder / name for name in ("target.npy", "x.npy", "valid.npy")]


def load_scale(layout: Layout, job: Job) -> Scale:
    """Return the units of the job's task; results without the setting held features fixed."""
    stored = read_json(layout.reference(job) / "scale.json")
    feature_std = torch.tensor(stored["feature_std"], dtype=torch.float64)
    return Scale(feature_std, stored["within_std"], stored.get("perturb_inactive", False))


def load_data_range(layout: Layout, job: Job) -> tuple[float, float]:
    """Return the smallest and the largest entry of all test observations of the job's task."""
    low, high = read_json(layout.reference(job) / "scale.json")["data_range"]
    return low, high


def load_reference(layout: Layout, job: Job) -> Reference:
    """Return the test pairs and the real observations of the job's task."""
    arrays = load_arrays(layout.reference(job) / "test.npz")
    return Reference(*(torch.from_numpy(arrays[name]) for name in ("target", "x", "observed")))
