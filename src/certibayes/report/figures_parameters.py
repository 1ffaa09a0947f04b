"""Which parameters an attack moves: shift, change of width and distance, parameter by parameter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from certibayes.columns import MODEL_KEYS
from certibayes.report.figures_style import ball_label, defense_label
from certibayes.report.levels import TIE_DIGITS, largest_kl
from certibayes.report.summary import read_metrics

_PANELS = (
    ("mean_shift", "|shift of the mean| / clean std", 0.0),
    ("std_ratio", "attacked std / clean std", 1.0),
    ("wasserstein", "Wasserstein-1 distance / clean std", 0.0),
)
"""Column, label, and the value of a posterior that does not move."""
_LEGEND_INCHES = 0.5
BALL = ("norm", "unit", "clip", "mask")


def read_parameters(folders: Sequence[Path]) -> pd.DataFrame:
    """Return parameters.csv of all models with the model's keys; classifiers have no rows."""
    tables = []
    for folder in folders:
        first = read_metrics(folder).iloc[0]
        keys = {key: first[key] for key in MODEL_KEYS}
        tables.append(pd.read_csv(folder / "parameters.csv").assign(**keys))
    filled = [table for table in tables if not table.empty]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]


def strongest_attack(summary: pd.DataFrame) -> pd.Series | None:
    """Return the row of the attack, noise left out, with the largest median shift at its widest.

    The shift is the total variation; where it is equal (1 is its limit), the larger of the two
    median KL divergences decides. Both are means over defenses and seeds.

    Args:
        summary: rows of one task, budget and model.
    """
    attacks = summary[(summary["stage"] == "attack") & (summary["kind"] != "noise")]
    if attacks.empty:
        return None
    widest = attacks.groupby("method")["epsilon"].transform("max")
    at_widest = attacks[attacks["epsilon"] == widest]
    level = at_widest.assign(shift=at_widest["total_variation_median"], kl=largest_kl(at_widest))
    means = level.groupby("method", sort=False)[["shift", "kl"]].mean()
    means["shift"] = means["shift"].fillna(-np.inf).round(TIE_DIGITS)
    strongest = means.sort_values(["shift", "kl"], ascending=False, kind="stable").index[0]
    return at_widest[at_widest["method"] == strongest].iloc[0]


def parameters_figure(
    parameters: pd.DataFrame, summary: pd.DataFrame, colors: dict[str, str]
) -> Figure:
    """Draw one task, budget and model under the strongest attack: a line per parameter.

    Points are medians over observations, means over seeds; bars reach from the 15 % to the 85 %
    quantile over observations.

    Args:
        parameters: rows of one task, budget and model, as `read_parameters` returns them.
        summary: rows of the same; at least one attack.
        colors: color per defense.

    Raises:
        ValueError: if the summary has no attack.
    """
    attack = strongest_attack(summary)
    if attack is None:
        raise ValueError("summary: got no attack; allowed: at least one beside noise")
    rows = parameters[
        (parameters["method"] == attack["method"]) & (parameters["epsilon"] == attack["epsilon"])
    ]
    names = list(dict.fromkeys(rows["parameter"]))
    defenses = [name for name in colors if name in set(rows["defense"])]
    line = max(0.28, 0.13 * len(defenses))
    size = (11.0, 1.4 + line * len(names) + _LEGEND_INCHES)
    figure = Figure(size, layout="constrained")
    axes = figure.subplots(1, len(_PANELS), sharey=True, squeeze=False)[0]
    for axis, (column, label, unmoved) in zip(axes, _PANELS, strict=True):
        axis.axvline(unmoved, color="black", linewidth=0.8, linestyle=":")
        for number, defense in enumerate(defenses):
            offset = (number - (len(defenses) - 1) / 2) * 0.8 / max(len(defenses), 1)
            _points(axis, rows[rows["defense"] == defense], column, names, offset, colors[defense])
        axis.set_xlabel(label, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(axis="x", alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    figure.suptitle(
        f"{attack['task']}, {attack['model']}, n = {attack['budget']}: which parameters move under "
        f"{attack['method']}, epsilon {attack['epsilon']:g} ({ball_label(*attack[list(BALL)])})",
        fontsize=11,
    )
    handles = [axes[0].plot([], [], "o", ms=4, color=colors[name])[0] for name in defenses]
    figure.legend(
        handles,
        [defense_label(name) for name in defenses],
        loc="outside lower center",
        ncols=min(len(defenses), 5),
        frameon=False,
        fontsize=9,
    )
    return figure


def _points(
    axis: Axes, rows: pd.DataFrame, column: str, names: list[str], offset: float, color: str
) -> None:
    ends = [f"{column}_{end}" for end in ("median", "low", "high")]
    found = rows.groupby("parameter")[ends].mean().reindex(names)
    median, low, high = (found[end].to_numpy(float) for end in ends)
    place = np.arange(len(names)) + offset
    axis.hlines(place, low, high, color=color, linewidth=1, alpha=0.5)
    axis.plot(median, place, "o", markersize=4, color=color)
