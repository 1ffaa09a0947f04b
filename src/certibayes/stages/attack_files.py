"""Attacks as an evaluation reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from certibayes.config.attacks import Attack
from certibayes.config.jobs import EvaluateJob
from certibayes.config.threat import PerturbationGrid
from certibayes.io import load_arrays
from certibayes.layout import Layout


@dataclass(frozen=True)
class StoredAttack:
    """One attack at one epsilon: x (n + m, x_dim) and its value on the selection draws (n + m,)."""

    name: str
    spec: Attack
    epsilon: float
    x: Tensor
    selected: Tensor

    def inside(self, grid: PerturbationGrid, epsilon: float) -> bool:
        """Tell whether this attack's points lie in the ball of that norm, unit and radius."""
        own = self.spec.perturbation
        return (own.norm, own.unit) == (grid.norm, grid.unit) and self.epsilon <= epsilon

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
