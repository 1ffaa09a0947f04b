"""The metrics of an evaluated model in MLflow: one name in all models and studies, curves as steps.

The step is the rank of epsilon among those of the attack or certificate; `<...>/epsilon` is the
metric that says which epsilon it was. A comparison of runs shows the value at the last step,
the largest epsilon.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from certibayes.report.levels import BALL

_IDENTIFYING = (
    *("budget", "seed", "epsilon", "observations", "features", "inactive_features"),
    *("tau", "drop", "level", "simultaneous", "confidence", "draws", "nll_pairs"),
    *("reference_observations", "reference_draws", "predictive_simulations"),
)
_BALL = [name for name in BALL if name != "epsilon"]
_CERTIFIED = ("posterior_shift", "decision")
_ATTACKED = {"kl_median": "forward_kl_median", "tv_median": "total_variation_median"}
_PROVED = {
    "tv_median": "total_variation_median",
    "accuracy": "accuracy",
    "certified_share": "certified_share",
}


def clean_metrics(table: pd.DataFrame) -> dict[str, float]:
    """Return `evaluate/clean/<column>` of a model's metrics.csv."""
    row = table[table["method"] == "clean"].iloc[0].to_dict()
    return {f"evaluate/clean/{name}": value for name, value in _numbers(row).items()}


def curves(table: pd.DataFrame) -> list[dict[str, float]]:
    """Return the metrics of every step of a model's metrics.csv.

    `attack/<attack>/<column>` and `certify/<certificate>/<column>`, each with its `epsilon`, and
    the headlines in the ball of `headline_ball`: `attack/kl_median`, `attack/tv_median` and
    `attack/accuracy` (the worst of all attacks but noise, each for itself), `certify/tv_median`,
    `certify/accuracy` and `certify/certified_share` (the first certificate).
    """
    named = list(table[table["method"] != "clean"].groupby(["stage", "method"], sort=False))
    found: list[dict[str, float]] = []
    for (stage, method), rows in named:
        ordered = rows.sort_values("epsilon").to_dict("records")
        _add(
            found,
            f"{stage}/{method}",
            [_numbers(row) | _epsilon(row["epsilon"]) for row in ordered],
        )
    ball = _first_ball(table)
    if ball is not None:
        inside = table[_same_ball(table, ball)]
        _add(found, "attack", _worst(inside[inside["stage"] == "attack"]))
        _add(found, "certify", _proved(inside[inside["stage"] == "certify"]))
    return found


def latest(steps: Iterable[dict[str, float]]) -> dict[str, float]:
    """Return the value of every metric at its last step."""
    values: dict[str, float] = {}
    for step in steps:
        values |= step
    return values


def headline_ball(table: pd.DataFrame) -> dict[str, str]:
    """Return the ball of the headlines as a param: the first certificate's, else an attack's."""
    ball = _first_ball(table)
    if ball is None:
        return {}
    return {"headline_ball": ", ".join(str(ball[name]) for name in _BALL if pd.notna(ball[name]))}


def _first_ball(table: pd.DataFrame) -> pd.Series | None:
    certified = table[table["kind"].isin(_CERTIFIED) & (table["stage"] == "certify")]
    attacked = table[(table["stage"] == "attack") & (table["kind"] != "noise")]
    for rows in (certified, attacked):
        if not rows.empty:
            return rows.iloc[0]
    return None


def _same_ball(table: pd.DataFrame, ball: pd.Series) -> pd.Series:
    same = pd.Series(True, index=table.index)
    for name in _BALL:
        same &= table[name].isna() if pd.isna(ball[name]) else table[name] == ball[name]
    return same


def _worst(rows: pd.DataFrame) -> list[dict[str, float]]:
    searched = rows[rows["kind"] != "noise"]
    found = []
    for epsilon, at in searched.groupby("epsilon"):
        values = {name: at[column].max() for name, column in _ATTACKED.items()}
        found.append(_numbers(values | {"accuracy": at["accuracy"].min()}) | _epsilon(epsilon))
    return found


def _proved(rows: pd.DataFrame) -> list[dict[str, float]]:
    known = rows[rows["kind"].isin(_CERTIFIED)]
    first = known[known["method"] == known["method"].iloc[0]] if len(known) else known
    return [
        _numbers({name: row[column] for name, column in _PROVED.items()}) | _epsilon(row["epsilon"])
        for _, row in first.sort_values("epsilon").iterrows()
    ]


def _add(found: list[dict[str, float]], place: str, steps: list[dict[str, float]]) -> None:
    found.extend({} for _ in range(len(steps) - len(found)))
    for values, step in zip(found, steps, strict=False):
        values |= {f"{place}/{name}": value for name, value in step.items()}


def _epsilon(value: Any) -> dict[str, float]:
    return {"epsilon": float(value)}


def _numbers(row: dict[Any, Any]) -> dict[str, float]:
    """Return the numbers of a row that were measured."""
    return {
        name: float(value)
        for name, value in row.items()
        if name not in _IDENTIFYING and isinstance(value, float | int) and math.isfinite(value)
    }
