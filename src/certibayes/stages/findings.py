"""What an evaluation leaves behind: tidy rows, items, coverage, parameters and draws."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from torch import Tensor

from certibayes.columns import COLUMNS, COVERAGE_COLUMNS, PARAMETER_COLUMNS
from certibayes.config.attacks import Attack
from certibayes.config.jobs import EvaluateJob
from certibayes.config.threat import PerturbationGrid
from certibayes.metrics.standard_error import Estimate

Value = str | int | float | None


@dataclass
class Findings:
    """Everything that one evaluated model leaves.

    Attributes:
        rows: lines of the summary: the model with one attack or certificate at one epsilon, or
            clean. Divergences are medians over test observations with 15 % and 85 % quantiles
            (`_low`, `_high`). On certificate rows `total_variation` is the certified upper bound
            and `accuracy` the certified accuracy; `kl_estimate` is an estimate of a bound, never a
            certificate.
        items: per-observation arrays, keys "attack/<name>/<epsilon>/<quantity>" and alike.
        coverage: (method, epsilon, level, coverage, TARP coverage).
        parameters: lines per parameter of theta, method and epsilon.
        posterior: draws of theta at real observations, clean and attacked, and predicted series.
    """

    rows: list[dict[str, Value]] = field(default_factory=list)
    items: dict[str, np.ndarray] = field(default_factory=dict)
    coverage: list[tuple[str, float, float, float, float]] = field(default_factory=list)
    parameters: list[dict[str, Value]] = field(default_factory=list)
    posterior: dict[str, np.ndarray] = field(default_factory=dict)

    def table(self) -> pd.DataFrame:
        """Return the rows as a table with all columns of a summary."""
        return pd.DataFrame(self.rows, columns=list(COLUMNS))

    def coverage_table(self) -> pd.DataFrame:
        """Return the coverage curves as a table."""
        return pd.DataFrame(self.coverage, columns=list(COVERAGE_COLUMNS))

    def parameter_table(self) -> pd.DataFrame:
        """Return what is known per parameter as a table."""
        return pd.DataFrame(self.parameters, columns=list(PARAMETER_COLUMNS))

    def add_row(
        self, job: EvaluateJob, stage: str, method: str, kind: str, **columns: Value
    ) -> None:
        """Add a line of the summary.

        Raises:
            ValueError: if a column is unknown.
        """
        _require_known(columns, COLUMNS)
        identity: dict[str, Value] = {
            "study": job.study,
            "task": job.task,
            "budget": job.budget,
            "model": job.model,
            "defense": job.defense,
            "seed": job.seed,
            "stage": stage,
            "method": method,
            "kind": kind,
        }
        self.rows.append(identity | columns)

    def add_coverage(
        self, method: str, epsilon: float, levels: Tensor, coverage: Tensor, tarp: Tensor
    ) -> None:
        """Add both curves of an attack at one epsilon, or of "clean"; all of shape (levels,)."""
        lines = zip(levels.tolist(), coverage.tolist(), tarp.tolist(), strict=True)
        self.coverage += [(method, epsilon, *line) for line in lines]

    def add_parameter(self, method: str, epsilon: float, parameter: str, **columns: Value) -> None:
        """Add a line on one parameter of theta.

        Raises:
            ValueError: if a column is unknown.
        """
        _require_known(columns, PARAMETER_COLUMNS)
        identity: dict[str, Value] = {
            "method": method,
            "epsilon": epsilon,
            "parameter": parameter,
        }
        self.parameters.append(identity | columns)

    def add_items(self, key: str, values: dict[str, Tensor]) -> None:
        """Add per-observation arrays below a key such as "attack/pgd/0.02"."""
        self.items |= {f"{key}/{name}": value.cpu().numpy() for name, value in values.items()}


def perturbation_columns(grid: PerturbationGrid, epsilon: float) -> dict[str, Value]:
    """Return the columns that state a perturbation; an empty clip is the task's own range."""
    clip = grid.clip if grid.clip is None or isinstance(grid.clip, str) else str(list(grid.clip))
    return {"norm": grid.norm, "unit": grid.unit, "epsilon": epsilon, "clip": clip}


def attack_columns(spec: Attack, epsilon: float) -> dict[str, Value]:
    """Return the columns that state what an attack maximizes, where, and how far it may go.

    `mask` lists the features that may be perturbed, e.g. "[0, 3]"; None = all.
    """
    mask = None if spec.mask is None else str(list(spec.mask))
    ball = perturbation_columns(spec.perturbation, epsilon)
    return {**ball, "objective": spec.objective, "mask": mask}


def quantiles(name: str, values: Tensor) -> dict[str, Value]:
    """Return median, 15 % and 85 % quantiles over observations as columns.

    Quantiles are interpolated, unless a value is infinite: then each is the next value above.
    """
    array = values.cpu().numpy()
    method: Literal["linear", "higher"] = "higher" if np.isinf(array).any() else "linear"
    low, median, high = np.quantile(array, [0.15, 0.5, 0.85], method=method)
    return {f"{name}_median": float(median), f"{name}_low": float(low), f"{name}_high": float(high)}


def means(name: str, found: Estimate) -> dict[str, Value]:
    """Return the mean over observations and the median Monte Carlo standard error of one."""
    return {
        f"{name}_mean": float(found.mean.mean()),
        f"{name}_se": float(found.standard_error.median()),
    }


def _require_known(columns: dict[str, Value], allowed: tuple[str, ...]) -> None:
    unknown = sorted(set(columns) - set(allowed))
    if unknown:
        raise ValueError(f"columns: got {unknown}; allowed: {', '.join(allowed)}")
