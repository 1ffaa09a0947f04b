"""Aggregates over seeds: every measured number as mean, standard deviation and range."""

from __future__ import annotations

import pandas as pd

KEYS = ("task", "budget", "model", "defense")
METHOD = ("stage", "method", "kind", "objective", "norm", "unit", "epsilon", "clip", "mask")
_STATED = (
    *("seed", "observations", "features", "inactive_features", "nll_pairs", "tau", "confidence"),
    *("draws", "reference_observations", "reference_draws", "predictive_simulations"),
    "predictive_failed",
)
"""Numbers that say how something was measured: no aggregate of theirs means anything."""
COLUMNS = (*KEYS, *METHOD, "quantity", "mean", "sd", "low", "high", "n")


def over_seeds(summary: pd.DataFrame) -> pd.DataFrame:
    """Return one row per model, defense, method, epsilon and quantity of the summary.

    Args:
        summary: as `summary.collect` returns it.

    Returns:
        Columns `COLUMNS`: `mean`, `sd` (of a sample, empty for one seed), `low` and `high`
        (smallest and largest) over the `n` seeds that have the quantity.
    """
    keys = [*KEYS, *METHOD]
    numbers = summary.select_dtypes("number").columns
    quantities = [name for name in numbers if name not in {*keys, *_STATED}]
    long = summary.melt(id_vars=keys, value_vars=quantities, var_name="quantity")
    long = long.dropna(subset="value")
    groups = long.groupby([*keys, "quantity"], sort=False, dropna=False)["value"]
    table = groups.agg(mean="mean", sd="std", low="min", high="max", n="count").reset_index()
    order = {name: position for position, name in enumerate(quantities)}
    models = _first_seen(table, keys)
    place = table["quantity"].map(order)
    by = table.assign(_model=models, _place=place).sort_values(["_model", "_place"]).index
    return table.loc[by].reset_index(drop=True)[list(COLUMNS)]


def _first_seen(table: pd.DataFrame, keys: list[str]) -> pd.Series:
    return table.groupby(keys, sort=False, dropna=False).ngroup()
