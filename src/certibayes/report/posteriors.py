"""Posteriors at real observations, clean and attacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from certibayes.columns import MODEL_KEYS
from certibayes.report.summary import read_metrics

Draws = NDArray[np.float64]


@dataclass(frozen=True)
class Attacked:
    """What one attack did to the real observation.

    Attributes:
        label: attack, epsilon, norm and unit.
        method: name of the attack.
        epsilon: radius, in the attack's unit.
        draws: theta from q(. | x'), shape (draws, theta_dim).
        x: the attacked observation, shape (x_dim,).
    """

    label: str
    method: str
    epsilon: float
    draws: Draws
    x: Draws


@dataclass(frozen=True)
class ObservedPosterior:
    """q(theta | x) of one model at one real observation.

    Attributes:
        observation: name of the observation.
        names: one per parameter.
        features: one name per feature of x, or none.
        clean: theta from q(. | x), shape (draws, theta_dim).
        x: the observation, shape (x_dim,).
        attacks: in the order of the file.
        strongest: largest epsilon of the attack (other than noise) that moves the means most.
        reference: mean and sd of a reference sampler run, shape (2, theta_dim), or None.
    """

    task: str
    budget: int
    model: str
    defense: str
    seed: int
    observation: str
    names: tuple[str, ...]
    features: tuple[str, ...]
    clean: Draws
    x: Draws
    attacks: tuple[Attacked, ...]
    strongest: Attacked | None
    reference: Draws | None


def read_posteriors(folders: Sequence[Path]) -> list[ObservedPosterior]:
    """Return a posterior per model and real observation of its task, in folder order.

    Args:
        folders: `evaluate` folders, each with metrics.csv and posterior.npz.
    """
    found = []
    for folder in folders:
        with np.load(folder / "posterior.npz", allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        metrics = read_metrics(folder)
        for row, name in enumerate(arrays.get("observations", ())):
            prefix = f"observed/{row}/"
            own = {key: value for key, value in arrays.items() if "/" not in key}
            own |= {
                key.removeprefix(prefix): value
                for key, value in arrays.items()
                if key.startswith(prefix)
            }
            if row > 0:
                own.pop("reference_mean", None)
            found.append(_posterior(metrics, str(name), own))
    return found


def of_first_observation(posteriors: Sequence[ObservedPosterior]) -> list[ObservedPosterior]:
    """Return those of one task that are at its first real observation."""
    first = posteriors[0].observation
    return [one for one in posteriors if one.observation == first]


def moments(posteriors: Sequence[ObservedPosterior]) -> pd.DataFrame:
    """Return mean and sd of every parameter at every observation, clean, attacked, reference."""
    rows = []
    for one in posteriors:
        keys = {key: getattr(one, key) for key in MODEL_KEYS}
        sources = [("clean", 0.0, one.clean)]
        sources += [(attack.method, attack.epsilon, attack.draws) for attack in one.attacks]
        rows += [
            {
                **keys,
                "observation": one.observation,
                "method": method,
                "epsilon": epsilon,
                "parameter": name,
                "mean": column.mean(),
                "sd": column.std(ddof=1),
                "reference_mean": None if one.reference is None else one.reference[0, index],
                "reference_sd": None if one.reference is None else one.reference[1, index],
            }
            for method, epsilon, draws in sources
            for index, (name, column) in enumerate(zip(one.names, draws.T, strict=True))
        ]
    return pd.DataFrame(rows)


def _posterior(
    metrics: pd.DataFrame, observation: str, arrays: dict[str, NDArray[np.generic]]
) -> ObservedPosterior:
    row = metrics.iloc[0]
    stated = metrics[metrics["stage"] == "attack"].drop_duplicates("method")
    about = stated.set_index("method")
    attacks = []
    for key in arrays:
        if key.startswith("attack/"):
            _, method, epsilon = key.split("/")
            norm, unit = about.loc[method, ["norm", "unit"]]
            label = f"{method}, epsilon {float(epsilon):g} ({norm}, {unit})"
            draws, x = arrays[key].astype(float), arrays[f"x/{key}"].astype(float).ravel()
            attacks.append(Attacked(label, method, float(epsilon), draws, x))
    clean = arrays["clean"].astype(float)
    reference = None
    if "reference_mean" in arrays:
        reference = np.stack([arrays["reference_mean"], arrays["reference_sd"]]).astype(float)
    return ObservedPosterior(
        task=str(row["task"]),
        budget=int(row["budget"]),
        model=str(row["model"]),
        defense=str(row["defense"]),
        seed=int(row["seed"]),
        observation=observation,
        names=tuple(str(name) for name in arrays["names"]),
        features=tuple(str(name) for name in arrays["features"]),
        clean=clean,
        x=arrays["x/clean"].astype(float).ravel(),
        attacks=tuple(attacks),
        strongest=_strongest(attacks, clean, set(about.index[about["kind"] != "noise"])),
        reference=reference,
    )


def _strongest(attacks: list[Attacked], clean: Draws, searching: set[str]) -> Attacked | None:
    """Return, among each attack's largest epsilon, the largest shift of means in clean sds."""
    spread = clean.std(0).clip(min=np.finfo(float).tiny)
    largest: dict[str, Attacked] = {}
    for attack in attacks:
        known = largest.get(attack.method)
        if attack.method in searching and (known is None or attack.epsilon > known.epsilon):
            largest[attack.method] = attack

    def shift(attack: Attacked) -> float:
        return float(np.linalg.norm((attack.draws.mean(0) - clean.mean(0)) / spread))

    return max(largest.values(), key=shift, default=None)
