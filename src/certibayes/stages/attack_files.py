"""Attacks as an evaluation reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from certibayes.config.attacks import Attack
from certibayes.config.jobs import EvaluateJob
from certibayes.config.threat import PerturbationGrid
from certibayes.io import load_arrays
from certibayes.layout import Layout
from certibayes.stages.attack_adaptive import TABLE

ATTACK_FILES = ("attack.npz", TABLE)
"""Files of an attack that an evaluation reads."""


@dataclass(frozen=True)
class StoredAttack:
    """One attack at one epsilon: x (n + m, x_dim) and its value on the selection draws (n + m,).

    Where the attack states `observations`, n is at most that.
    """

    name: str
    spec: Attack
    epsilon: float
    x: Tensor
    selected: Tensor

    def inside(self, grid: PerturbationGrid, epsilon: float) -> bool:
        """Tell whether this attack's points lie in the set of that grid at that radius."""
        own = self.spec.perturbation
        same = (own.norm, own.unit) == (grid.norm, grid.unit)
        return same and grid.clip in (None, own.clip) and self.epsilon <= epsilon

    @property
    def key(self) -> str:
        """Prefix of this attack's per-observation items."""
        return f"attack/{self.name}/{self.epsilon!r}"


def stored_attacks(job: EvaluateJob, layout: Layout) -> Iterator[StoredAttack]:
    """Yield every attack of a model at every epsilon."""
    for name, spec in job.attacks.items():
        arrays = load_arrays(layout.attack(job, name) / "attack.npz")
        for row, epsilon in enumerate(arrays["epsilons"].tolist()):
            x, selected = (torch.from_numpy(arrays[k][row]) for k in ("x", "selected"))
            yield StoredAttack(name, spec, epsilon, x, selected)


def with_checks(table: pd.DataFrame, job: EvaluateJob, layout: Layout) -> pd.DataFrame:
    """Return a summary whose attack rows state their strongest adaptive check, where there is one.

    `adaptive_ratio` is its median gain over that of the attack, `adaptive_check` its name.
    """
    table = table.astype({"adaptive_ratio": float, "adaptive_check": object})
    for name in job.attacks:
        checks = pd.read_csv(layout.attack(job, name) / TABLE)
        if checks.empty:
            continue
        strongest = checks.sort_values("ratio", kind="stable").iloc[-1]
        rows = (table["stage"] == "attack") & (table["method"] == name)
        rows &= table["epsilon"] == strongest["epsilon"]
        table.loc[rows, "adaptive_ratio"] = strongest["ratio"]
        table.loc[rows, "adaptive_check"] = strongest["check"]
    return table
