"""How far simulations from the attacked posterior lie from the observation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from certibayes.report.figures_parameters import BALL
from certibayes.report.figures_style import defense_label, epsilon_label

NORMS = ("l1", "l2", "linf")
_LEGEND_INCHES = 0.5


def has_distances(summary: pd.DataFrame) -> bool:
    """Tell whether predictive distances were measured."""
    return bool(summary[[f"predictive_{norm}_median" for norm in NORMS]].notna().any(axis=None))


def distance_figure(summary: pd.DataFrame, colors: dict[str, str]) -> Figure:
    """Draw one task, budget and model: median predictive distance against epsilon, per norm.

    One row per ball (norm, unit, clip, mask) of attacks; the largest median over its attacks, noise
    left out, means over seeds with bands from the smallest to the largest seed. At epsilon 0 stands
    the clean observation.

    Args:
        summary: rows of one task, budget and model with predictive distances and an attack.
        colors: color per defense.
    """
    attacks = summary[(summary["stage"] == "attack") & (summary["kind"] != "noise")]
    clean = summary[summary["method"] == "clean"]
    balls = [
        (epsilon_label(*ball), rows)
        for ball, rows in attacks.groupby(list(BALL), sort=False, dropna=False)
    ]
    defenses = [name for name in colors if name in set(summary["defense"])]
    size = (11.0, 0.7 + 3.0 * len(balls) + _LEGEND_INCHES)
    figure = Figure(size, layout="constrained")
    axes = figure.subplots(len(balls), len(NORMS), squeeze=False)
    for row, (label, rows) in enumerate(balls):
        for axis, distance in zip(axes[row], NORMS, strict=True):
            column = f"predictive_{distance}_median"
            largest = 0.0
            for defense in defenses:
                own = rows[rows["defense"] == defense]
                start = clean[clean["defense"] == defense]
                table = _over_seeds(own, start, column)
                _line(axis, table, colors[defense])
                largest = max(largest, float(table["max"].max()) if len(table) else 0.0)
            axis.set_title(f"{distance} distance", fontsize=10)
            axis.set_xlabel(label)
            axis.set_xlim(left=0)
            axis.set_ylim(0, 1.05 * largest if 0 < largest < np.inf else None)
            axis.grid(alpha=0.25)
            axis.spines[["top", "right"]].set_visible(False)
        axes[row, 0].set_ylabel("median distance (feature_std)\n↓ better")
    first = summary.iloc[0]
    figure.suptitle(
        f"{first['task']}, {first['model']}, n = {first['budget']}: simulations from the attacked "
        "posterior against the clean observation",
        fontsize=11,
    )
    handles = [axes[0, 0].plot([], [], "o-", ms=4, color=colors[name])[0] for name in defenses]
    figure.legend(
        handles,
        [defense_label(name) for name in defenses],
        loc="outside lower center",
        ncols=min(len(defenses), 5),
        frameon=False,
        fontsize=9,
    )
    return figure


def _over_seeds(attacks: pd.DataFrame, clean: pd.DataFrame, column: str) -> pd.DataFrame:
    start = clean[["seed", column]].assign(epsilon=0.0)
    worst = attacks.groupby(["seed", "epsilon"])[column].max().reset_index()
    both = pd.concat([start, worst[worst["epsilon"] > 0]]).dropna(subset=[column])
    return both.groupby("epsilon")[column].agg(["mean", "min", "max"])


def _line(axis: Axes, table: pd.DataFrame, color: str) -> None:
    if table.empty:
        return
    axis.plot(table.index, table["mean"], "o-", color=color, markersize=4)
    axis.fill_between(table.index, table["min"], table["max"], color=color, alpha=0.2, lw=0)
