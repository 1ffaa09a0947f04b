"""Reference posteriors of benchmark tasks, read from the files of an installed sbibm package."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

VARIABLE = "CERTIBAYES_SBIBM"
OBSERVATIONS = 10
FOLDERS = {
    "two_moons": "two_moons",
    "slcp": "slcp",
    "gaussian_mixture": "gaussian_mixture",
    "gaussian_linear_sbibm": "gaussian_linear",
    "bernoulli_glm": "bernoulli_glm",
    "lotka_volterra_sbibm": "lotka_volterra",
    "sir_sbibm": "sir",
}
"""Kinds of tasks in the convention of sbibm and the folder of each in that package."""


@dataclass(frozen=True)
class ReferencePosterior:
    """One observation with draws of its posterior, made by sbibm with much computation.

    Attributes:
        x: the observation, shape (x_dim,), float64.
        theta: the theta it was simulated with, shape (theta_dim,), float64.
        samples: draws of the posterior, shape (10000, theta_dim), float64.
    """

    x: Tensor
    theta: Tensor
    samples: Tensor


def reference_posteriors(kind: str) -> tuple[ReferencePosterior, ...] | None:
    """Return the ten reference posteriors of a task, or None where there are none.

    The package is looked for in the folder that CERTIBAYES_SBIBM names, if set, then among the
    installed ones; it is never imported.

    Args:
        kind: of the task.

    Raises:
        FileNotFoundError: if the package is there but one of its files is not.
    """
    package = package_folder()
    if kind not in FOLDERS or package is None:
        return None
    files = package / "tasks" / FOLDERS[kind] / "files"
    return tuple(_read(files / f"num_observation_{i}") for i in range(1, OBSERVATIONS + 1))


def package_folder() -> Path | None:
    """Return the folder of the sbibm package, or None if there is none.

    Raises:
        FileNotFoundError: if CERTIBAYES_SBIBM names no folder with `tasks` in it.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if not (Path(named) / "tasks").is_dir():
            raise FileNotFoundError(
                f"{VARIABLE}: got {named!r}; allowed: the folder `sbibm` of the package, "
                "which holds `tasks`"
            )
        return Path(named)
    found = find_spec("sbibm")
    return Path(found.origin).parent if found is not None and found.origin else None


def _read(folder: Path) -> ReferencePosterior:
    return ReferencePosterior(
        x=_table(folder / "observation.csv")[0],
        theta=_table(folder / "true_parameters.csv")[0],
        samples=_table(folder / "reference_posterior_samples.csv.bz2"),
    )


def _table(path: Path) -> Tensor:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: missing; allowed: the files of sbibm 1.1.0")
    return torch.from_numpy(pd.read_csv(path).to_numpy(dtype="float64"))
