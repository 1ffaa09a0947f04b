"""Figures of one task, budget and model: calibration, parameters, predictions, trade-offs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from certibayes.report.figures_distance import distance_figure, has_distances
from certibayes.report.figures_parameters import (
    BALL,
    parameters_figure,
    read_parameters,
    strongest_attack,
)
from certibayes.report.figures_sbc import Ranks, read_ranks, sbc_figure
from certibayes.report.figures_style import curve_colors
from certibayes.report.figures_tradeoff import drawn_rows, tradeoff_figure

_MODEL = ["task", "budget", "model"]


def model_figures(
    summary: pd.DataFrame, evaluated: Sequence[Path], colors: dict[str, str]
) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of every posterior model with the stems of their file names.

    `sbc_<task>_n<budget>_<model>`: ranks of the first seed; `parameters_...`: shifts under the
    strongest attack; `predictive_distance_...`, where simulations were made.

    Args:
        summary: as `summary.collect` returns it.
        evaluated: the `evaluate` folders behind it.
        colors: color per defense.
    """
    parameters = read_parameters(evaluated)
    ranks = read_ranks(evaluated)
    for (task, budget, model), rows in summary.groupby(_MODEL, sort=False):
        stem = f"{task}_n{budget}_{model}"
        first = [one for one in ranks if _is(one, rows, int(rows["seed"].min()))]
        if first:
            yield f"sbc_{stem}", sbc_figure(first, rows, colors)
        attack = strongest_attack(rows)
        moved = parameters.merge(rows[_MODEL].drop_duplicates(), on=_MODEL)
        if attack is not None and (moved["method"] == attack["method"]).any():
            yield f"parameters_{stem}", parameters_figure(moved, rows, colors)
        if attack is not None and has_distances(rows):
            yield f"predictive_distance_{stem}", distance_figure(rows, colors)


def tradeoff_figures(table: pd.DataFrame) -> Iterator[tuple[str, Figure]]:
    """Yield `tradeoff_<task>_n<budget>_<model>_<norm>_<unit>` where two defenses can be compared.

    The range of x' and the features that may move follow in the name where they were restricted.

    Args:
        table: as `tradeoff.tradeoff` returns it.
    """
    colors = curve_colors(table["curve"].dropna())
    for keys, rows in table.groupby([*_MODEL, *BALL], sort=False, dropna=False):
        task, budget, model, norm, unit, clip, mask = keys
        stem = f"tradeoff_{task}_n{budget}_{model}_{norm}_{unit}"
        if isinstance(clip, str):
            stem += "_" + _written(clip)
        if isinstance(mask, str):
            stem += "_features_" + _written(mask)
        if drawn_rows(rows)["defense"].nunique() > 1:
            yield stem, tradeoff_figure(rows, colors)


def _written(restriction: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", restriction).strip("_")


def _is(ranks: Ranks, rows: pd.DataFrame, seed: int) -> bool:
    first = rows.iloc[0]
    return ranks.keys["seed"] == seed and all(ranks.keys[key] == first[key] for key in _MODEL)
