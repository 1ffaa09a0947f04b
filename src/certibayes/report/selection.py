"""The best model of every task, by the rule that the study states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import pandas as pd

from certibayes.columns import MODEL_KEYS
from certibayes.config.selection import Selection

ModelKey = tuple[str, int, str, str, int]
"""Task, budget, model, defense, seed."""
ORDER = ("certificate", "attack", "fit")
CERTIFIED = ("posterior_shift", "decision")
HALF = 0.5


@dataclass(frozen=True)
class Standing:
    """How one model stands in its task.

    Attributes:
        fit: NLL of clean observations (posteriors) or clean accuracy (classifiers).
        share: of the best fit of the task that the model keeps, see `Selection`.
        criterion: what decided in this task, in words, with ball and epsilon.
        value: the model's value of it; None where it has none, or does not keep its share.
        best: whether this is the task's best model; of equals, the one that fits best.
    """

    fit: float
    share: float
    criterion: str
    value: float | None
    best: bool


@dataclass(frozen=True)
class _Criterion:
    """Values by model, and whether lower is better."""

    text: str
    values: pd.Series
    ascending: bool


def standings(
    summary: pd.DataFrame, parameters: Mapping[ModelKey, int], rule: Selection
) -> dict[ModelKey, Standing]:
    """Return the standing of every model of a summary, in its order.

    Args:
        summary: as `summary.collect` returns it.
        parameters: dimension of theta per model; classifiers need none.
        rule: of the study.
    """
    found: dict[ModelKey, Standing] = {}
    for _, rows in summary.groupby("task", sort=False):
        found |= _of_task(rows, parameters, rule)
    return found


def _of_task(
    rows: pd.DataFrame, parameters: Mapping[ModelKey, int], rule: Selection
) -> dict[ModelKey, Standing]:
    rows = rows.set_index(list(MODEL_KEYS))
    clean = rows[rows["method"] == "clean"]
    classifier = bool(clean["accuracy"].notna().any())
    fit = clean["accuracy" if classifier else "nll"].astype(float)
    if classifier:
        top = fit.max()
        share, least = fit / top if top > 0 else (fit == top).astype(float), rule.accuracy_share
    else:
        sizes = pd.Series([parameters.get(key, 1) for key in fit.index], index=fit.index)
        loss = (fit - fit.min()) / sizes
        share, least = loss.map(lambda nats: math.exp(-nats)), rule.likelihood_share
    kept = fit[share >= least]
    decided = _criterion(rows[rows.index.isin(kept.index)], kept, classifier, rule)
    order = pd.DataFrame({"fit": kept, "value": decided.values.reindex(kept.index)}).dropna()
    order = order.sort_values(
        ["value", "fit"], ascending=[decided.ascending, not classifier], kind="stable"
    )
    values, first = order["value"].to_dict(), next(iter(order.index), None)
    shares = share.to_dict()
    return {
        cast(ModelKey, key): Standing(
            fit=float(own),
            share=float(shares[key]),
            criterion=decided.text,
            value=float(values[key]) if key in values else None,
            best=key == first,
        )
        for key, own in fit.to_dict().items()
    }


def _criterion(rows: pd.DataFrame, fit: pd.Series, classifier: bool, rule: Selection) -> _Criterion:
    by_fit = _Criterion("clean accuracy" if classifier else "NLL", fit, not classifier)
    for name in ORDER[ORDER.index(rule.by) :]:
        if name == "certificate":
            found = _certified(rows[rows["kind"].isin(CERTIFIED)], classifier)
        elif name == "attack":
            found = _attacked(rows[(rows["stage"] == "attack") & (rows["kind"] != "noise")])
        else:
            found = by_fit
        if found is not None:
            return found
    return by_fit


def _certified(rows: pd.DataFrame, classifier: bool) -> _Criterion | None:
    """Take the certificate of most models, at the largest radius where half of an x is certified.

    That is the largest epsilon at which the median of some model is certified; the smallest where
    there is none.
    """
    rows = rows[rows["stage"] == "certify"]
    if rows.empty:
        return None
    rows = rows[rows["method"] == _commonest(rows, "method")]
    certified = rows[rows["certified_share"] >= HALF]
    epsilon = rows["epsilon"].min() if certified.empty else certified["epsilon"].max()
    rows = rows[rows["epsilon"] == epsilon]
    quantity = "accuracy" if classifier else "total_variation_median"
    first = rows.iloc[0]
    named = "certified accuracy" if classifier else "certified median total variation"
    text = f"{named} ({first['method']}, {first['norm']}, {first['unit']}) at epsilon {epsilon:g}"
    return _Criterion(text, rows[quantity].astype(float), not classifier)


def _attacked(rows: pd.DataFrame) -> _Criterion | None:
    """Take the worst attack of the ball in which most models were attacked, at its last radius."""
    classifier = bool(rows["accuracy"].notna().any())
    quantity = "accuracy" if classifier else "total_variation_median"
    rows = rows[rows[quantity].notna()]
    if rows.empty:
        return None
    rows = rows.assign(ball=rows["norm"] + ", " + rows["unit"])
    ball = _commonest(rows, "ball")
    rows = rows[rows["ball"] == ball]
    epsilon = rows["epsilon"].max()
    groups = rows[rows["epsilon"] == epsilon].groupby(level=list(MODEL_KEYS), sort=False)
    values = groups[quantity].min() if classifier else groups[quantity].max()
    named = "attacked accuracy" if classifier else "attacked median total variation"
    return _Criterion(f"{named} ({ball}) at epsilon {epsilon:g}", values, not classifier)


def _commonest(rows: pd.DataFrame, column: str) -> str:
    """Return the entry that most models have, the first of equals."""
    counts = {name: part.index.nunique() for name, part in rows.groupby(column, sort=False)}
    return str(max(counts, key=lambda name: counts[name]))
