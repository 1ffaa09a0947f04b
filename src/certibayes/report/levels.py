"""The summary turned sideways: clean, noise, attacked and certified next to one another."""

from __future__ import annotations

import numpy as np
import pandas as pd

from certibayes.columns import BALL_KEYS, MODEL_KEYS
from certibayes.metrics.intervals.clopper_pearson import (
    clopper_pearson_lower,
    clopper_pearson_upper,
)

ALPHA = 0.05
TIE_DIGITS = 6
"""Levels that agree to so many digits are equal: the total variation of strong attacks is 1."""
BALL = (*BALL_KEYS, "clip", "mask")
_SHARES = ("certified_share", "refuted_share", "unknown_share")
_TERMS = ("tau", "confidence", "draws", "interval")
_HEADLINE = ("posterior_shift", "decision")
"""Kinds of certificates whose bound is the level; others have columns of their own."""
_FROM_CLEAN = (
    *("nll", "nll_exact", "c2st", "reference_c2st", "reference_observations"),
    *("train_steps", "train_seconds"),
)
_NUMBERS = (
    "noise",
    "attacked",
    "attacked_low",
    "attacked_high",
    "certified",
    "certified_low",
    "certified_high",
    "exact",
    *_SHARES,
    "forward_kl",
    "forward_kl_se",
    "reverse_kl",
    "reverse_kl_se",
    "kl_certified",
    "kl_estimate",
    "coverage_attacked",
    "ece_attacked",
    "adaptive_ratio",
)
COLUMNS = (
    *MODEL_KEYS,
    "form",
    *BALL,
    "observations",
    "features",
    "inactive_features",
    *_FROM_CLEAN,
    "clean",
    "noise",
    "attack",
    "attacked",
    "attacked_low",
    "attacked_high",
    "certified",
    "certified_low",
    "certified_high",
    "exact",
    *_SHARES,
    "forward_kl",
    "forward_kl_se",
    "reverse_kl",
    "reverse_kl_se",
    "kl_certified",
    "kl_estimate",
    "coverage_clean",
    "coverage_attacked",
    "ece_clean",
    "ece_attacked",
    "adaptive_ratio",
    *_TERMS,
)


def levels(summary: pd.DataFrame) -> pd.DataFrame:
    """Return one row per model and ball (norm, unit, epsilon, clip, mask), in the summary's order.

    The level is the accuracy for classifiers and the median total variation
    TV(q(. | x), q(. | x')) for posteriors. Among several attacks of one ball, on as many
    observations as any, the worst counts, of equal ones that with the larger KL divergence;
    `forward_kl` (KL(q(. | x) || q(. | x'))) and `reverse_kl` (KL(q(. | x') || q(. | x))) are each
    the largest median over the attacks. A
    certificate has a ball of its own. `attacked` leaves noise out. A model without attacks and
    certificates has one row without ball. `_low` and `_high` are the 15 % and 85 % quantiles over
    observations for posteriors and the two-sided 95 % interval of Clopper and Pearson (1934) for
    the certified accuracy on the population that the observations were drawn from.

    Returns:
        Columns: the model's keys, `form`, norm, unit, epsilon, clip, mask, `clean`, `noise`,
        `attacked`, `attacked_low`, `attacked_high`, `certified`, `certified_low`, `certified_high`,
        `exact` (the exact posterior's own worst shift, from the attack or else the certificate),
        shares of verdicts, KL divergences with their Monte Carlo standard errors, coverage and ECE
        before and after, and what the certificate states.
    """
    rows = [
        row
        for _, model in summary.groupby(list(MODEL_KEYS), sort=False)
        for row in _model_rows(model)
    ]
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    return table.astype(dict.fromkeys(_NUMBERS, float))


def _model_rows(model: pd.DataFrame) -> list[dict[str, object]]:
    clean = model[model["kind"] == "clean"].iloc[0]
    classifies = pd.notna(clean["accuracy"])
    counts = ("observations", "features", "inactive_features")
    base = {key: clean[key] for key in (*MODEL_KEYS, *counts, *_FROM_CLEAN)}
    base["form"] = "classification" if classifies else "posterior"
    base["clean"] = clean["accuracy"] if classifies else 0.0
    base["coverage_clean"], base["ece_clean"] = clean["coverage_90"], clean["ece"]
    balls = model[model["kind"] != "clean"].sort_values(list(BALL), kind="stable")
    if balls.empty:
        return [base]
    return [
        base | dict(zip(BALL, ball, strict=True)) | _ball(rows, classifies)
        for ball, rows in balls.groupby(list(BALL), sort=False, dropna=False)
    ]


def _ball(rows: pd.DataFrame, classifies: bool) -> dict[str, object]:
    level = "accuracy" if classifies else "total_variation_median"
    noise = _worst(rows[(rows["stage"] == "attack") & (rows["kind"] == "noise")], level)
    attacks = rows[(rows["stage"] == "attack") & (rows["kind"] != "noise")]
    attacked = _worst(on_most_observations(attacks, list(BALL)), level)
    certified = _only(rows[(rows["stage"] == "certify") & rows["kind"].isin(_HEADLINE)])
    found = {
        "noise": noise.get(level),
        "attacked": attacked.get(level),
        "attacked_low": attacked.get("total_variation_low"),
        "attacked_high": attacked.get("total_variation_high"),
        "certified": certified.get(level),
        "exact": _first_given(attacked, certified, "exact_total_variation"),
        "attack": attacked.get("method"),
        **_largest(attacks, "forward_kl"),
        **_largest(attacks, "reverse_kl"),
        "kl_certified": certified.get("kl_certified_median"),
        "kl_estimate": certified.get("kl_estimate_median"),
        "coverage_attacked": attacked.get("coverage_90"),
        "ece_attacked": attacked.get("ece"),
        "adaptive_ratio": attacked.get("adaptive_ratio"),
    }
    found["certified_low"], found["certified_high"] = _range(certified, classifies)
    return found | {key: certified.get(key) for key in (*_SHARES, *_TERMS)}


def _range(certified: pd.Series, classifies: bool) -> tuple[object, object]:
    if not classifies or certified.empty:
        return certified.get("total_variation_low"), certified.get("total_variation_high")
    n = int(certified["observations"])
    successes = round(certified["accuracy"] * n)
    return (
        clopper_pearson_lower(successes, n, ALPHA / 2),
        clopper_pearson_upper(successes, n, ALPHA / 2),
    )


def _first_given(first: pd.Series, second: pd.Series, column: str) -> object:
    value = first.get(column)
    return second.get(column) if pd.isna(value) else value


def _largest(attacks: pd.DataFrame, divergence: str) -> dict[str, object]:
    """Return the largest median over the attacks and that attack's Monte Carlo standard error."""
    known = attacks.dropna(subset=f"{divergence}_median")
    if known.empty:
        return {divergence: None}
    row = known.sort_values(f"{divergence}_median", ascending=False, kind="stable").iloc[0]
    error = row.get(f"{divergence}_se")
    return {divergence: row[f"{divergence}_median"], f"{divergence}_se": error}


def _worst(rows: pd.DataFrame, level: str) -> pd.Series:
    if rows.empty:
        return pd.Series(dtype=object)
    sign = -1 if level == "accuracy" else 1
    order = pd.DataFrame({"level": sign * rows[level], "kl": largest_kl(rows)})
    first = order.assign(level=order["level"].round(TIE_DIGITS)).reset_index(drop=True)
    place = first.sort_values(["level", "kl"], ascending=False, kind="stable").index[0]
    return rows.iloc[place]


def largest_kl(rows: pd.DataFrame) -> pd.Series:
    """Return the larger of the two median KL divergences per row; -inf where there is none."""
    return rows[["forward_kl_median", "reverse_kl_median"]].max(axis=1).fillna(-np.inf)


def on_most_observations(attacks: pd.DataFrame, ball: list[str]) -> pd.DataFrame:
    """Return attack rows on as many observations as any attack of the same ball."""
    counts = attacks["observations"].fillna(0)
    most = counts.groupby([attacks[key] for key in ball], dropna=False).transform("max")
    return attacks[counts == most]


def _only(rows: pd.DataFrame) -> pd.Series:
    """Return the one certificate of a ball: of two confidence bounds none may be chosen later."""
    if len(rows) > 1:
        raise ValueError(f"certificates of one ball: got {list(rows['method'])}; allowed: one")
    return pd.Series(dtype=object) if rows.empty else rows.iloc[0]
