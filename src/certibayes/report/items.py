"""The per-observation arrays that an evaluation leaves in items.npz."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Stage = Literal["attack", "certify"]


@dataclass(frozen=True)
class Method:
    """An attack or a certificate, as `meta` in items.npz states it.

    Attributes:
        stage: "attack" or "certify".
        name: name of the specification.
        norm: "l2" or "linf".
        unit: unit of epsilon.
        clip: range of x' beside the task's own, JSON; "null" = none.
        kind: kind of the attack or certificate, e.g. "pgd".
        objective: what an attack maximizes, or None.
        points: uniform points of the ball among an attack's candidates; None if it keeps no best
            candidate, or for a certificate.
        selection_draws: draws that chose an attack's points, or None.
        mask: features that an attack may perturb; None = all.
    """

    stage: Stage
    name: str
    norm: str
    unit: str
    clip: str
    kind: str
    objective: str | None = None
    points: int | None = None
    selection_draws: int | None = None
    mask: tuple[int, ...] | None = None

    def same_ball(self, other: Method) -> bool:
        """Tell whether both measure epsilon in the same norm and unit, in the same range of x'."""
        return (self.norm, self.unit, self.clip) == (other.norm, other.unit, other.clip)


@dataclass(frozen=True)
class Items:
    """Arrays of one evaluated model, each of shape (observations,).

    Attributes:
        scope: the model, `<task>/n<budget>/<model>/<defense>/seed<k>`.
        methods: attacks and certificates with at least one array.
    """

    scope: str
    methods: tuple[Method, ...]
    arrays: dict[str, NDArray[np.generic]]

    @classmethod
    def read(cls, folder: Path) -> Items:
        """Read items.npz of an `evaluate` folder; no pickles are loaded."""
        with np.load(folder / "items.npz", allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files if key != "meta"}
            meta = json.loads(str(file["meta"]))
        present = dict.fromkeys(tuple(key.split("/")[:2]) for key in arrays if key.count("/") == 3)
        methods = tuple(
            Method(
                stage=stage,
                name=name,
                norm=meta[name]["norm"],
                unit=meta[name]["unit"],
                clip=json.dumps(meta[name]["clip"]),
                kind=meta[name]["kind"],
                objective=meta[name].get("objective"),
                points=meta[name].get("points"),
                selection_draws=meta[name].get("selection_draws"),
                mask=_mask(meta[name].get("mask")),
            )
            for stage, name in present
        )
        return cls("/".join(folder.parts[-6:-1]), methods, arrays)

    def of(self, stage: Stage) -> list[Method]:
        """Return the attacks or the certificates."""
        return [method for method in self.methods if method.stage == stage]

    def epsilons(self, method: Method) -> list[float]:
        """Return the radii at which a method was run, ascending."""
        prefix = f"{method.stage}/{method.name}/"
        found = {float(key.split("/")[2]) for key in self.arrays if key.startswith(prefix)}
        return sorted(found)

    def get(self, method: Method, epsilon: float, quantity: str) -> NDArray[np.generic] | None:
        """Return one quantity, shape (observations,), or None where it does not apply."""
        return self.arrays.get(f"{method.stage}/{method.name}/{epsilon!r}/{quantity}")

    @property
    def clean_correct(self) -> NDArray[np.generic] | None:
        """Whether the unperturbed observation is classified correctly, or None for posteriors."""
        return self.arrays.get("clean/correct")


def _mask(stored: list[int] | None) -> tuple[int, ...] | None:
    return None if stored is None else tuple(stored)
