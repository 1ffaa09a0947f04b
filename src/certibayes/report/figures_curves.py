"""Clean, noise, attacked and certified against epsilon."""

from __future__ import annotations

from math import ceil
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from certibayes.report.figures_style import (
    CLEAN,
    columns_within,
    defense_label,
    epsilon_label,
)
from certibayes.report.levels import levels

_STYLES: dict[str, dict[str, Any]] = {
    "noise": {"linestyle": ":", "marker": "o"},
    "attacked": {"linestyle": "--", "marker": "s"},
    "certified": {"linestyle": "-", "marker": "D"},
}
_BALL = ["norm", "unit", "clip", "mask"]
_ROW = ["budget", "model", *_BALL]
_QUANTILES: dict[str, Any] = {"linestyle": (0, (1, 3)), "linewidth": 1}
_SEED_BAR: dict[str, Any] = {"elinewidth": 6, "alpha": 0.25}
_QUANTILE_BAR: dict[str, Any] = {"elinewidth": 1, "capsize": 4}
_LEGEND_INCHES = 0.45
_LONG_LABEL = 36


def curves_figure(summary: pd.DataFrame, colors: dict[str, str]) -> Figure:
    """Draw one task: one panel per defense, new rows per model, norm, unit, clip range and mask.

    Lines are means over seeds, with a band from the smallest to the largest seed; with a single
    epsilon, bars. Posteriors:
    median total variation (0 = unmoved, 1 = nothing is guaranteed), dotted lines: the 15 % and 85 %
    quantiles over observations under attack, means over seeds. Classifiers: accuracy.

    Args:
        summary: rows of one task.
        colors: color per defense.
    """
    table = levels(summary)
    rows = [group for _, group in table.groupby(_ROW, sort=False, dropna=False)]
    rows = [group for group in rows if group["epsilon"].notna().all()]
    defenses = [name for name in colors if name in set(summary["defense"])]
    across = columns_within(len(defenses), 1.2, 3.3)
    lines = ceil(len(defenses) / across)
    down = lines * max(len(rows), 1)
    size = (max(1.2 + 3.3 * across, 6.5), 0.6 + 2.9 * down + _LEGEND_INCHES)
    figure = Figure(size, layout=ConstrainedLayoutEngine(w_pad=0.12))
    axes = figure.subplots(down, across, sharey=True, squeeze=False)
    posterior = bool(summary["accuracy"].isna().all())
    if not rows:
        axes[0, 0].text(0.5, 0.5, "no attack, no certificate", transform=axes[0, 0].transAxes)
    for row, group in enumerate(rows):
        label = epsilon_label(*group[_BALL].iloc[0])
        for axis in axes[row * lines : (row + 1) * lines].ravel()[len(defenses) :]:
            axis.set_visible(False)
        for place, defense in enumerate(defenses):
            axis = axes[row * lines + place // across, place % across]
            _panel(axis, group[group["defense"] == defense], colors[defense], posterior)
            axis.set_xlim(*_limits(group["epsilon"].max()))
            axis.set_xlabel(label, fontsize=10 if len(label) < _LONG_LABEL else 8)
            if row == 0 or lines > 1:
                axis.set_title(defense_label(defense), color=colors[defense], fontsize=10)
        level = "total variation" if posterior else "accuracy"
        model = f"{group['model'].iloc[0]}, n = {group['budget'].iloc[0]}"
        for axis in axes[row * lines : (row + 1) * lines, 0]:
            axis.set_ylabel(f"{model}\n{level}")
    figure.suptitle(str(summary["task"].iloc[0]), fontsize=12)
    most = int(table.groupby([*_ROW, "defense"], dropna=False)["seed"].nunique().max())
    handles = _legend(posterior, bool(table["exact"].notna().any()), most)
    columns = min(len(handles), 2 * axes.shape[1])
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
    return figure


def _limits(largest: float) -> tuple[float, float]:
    return (0, 1.05 * largest) if largest > 0 else (-0.5, 0.5)


def _panel(axis: Axes, rows: pd.DataFrame, color: str, posterior: bool) -> None:
    axis.set_ylim(-0.03, 1.03)
    axis.grid(alpha=0.25)
    axis.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axis.spines[["top", "right"]].set_visible(False)
    if rows.empty:
        axis.text(0.5, 0.5, "not in this study", ha="center", transform=axis.transAxes)
        return
    clean = float(rows["clean"].mean())
    axis.axhline(clean, color=CLEAN, linewidth=1)
    for column, style in _STYLES.items():
        band = rows.dropna(subset=[column]).groupby("epsilon")[column].agg(["min", "max"])
        if len(band) == 1:
            _bar(axis, band.index[0], band["min"].iloc[0], band["max"].iloc[0], color, _SEED_BAR)
        else:
            axis.fill_between(band.index, band["min"], band["max"], color=color, alpha=0.25, lw=0)
        x, y = _points(_mean_over_seeds(rows, column), column, clean)
        axis.plot(x, y, color=color, markersize=4, **style)
    if posterior:
        low, high = (_mean_over_seeds(rows, f"attacked_{end}") for end in ("low", "high"))
        for quantile, column in ((low, "attacked_low"), (high, "attacked_high")):
            axis.plot(quantile["epsilon"], quantile[column], color=color, **_QUANTILES)
        if len(low) == len(high) == 1:
            ends = (low["attacked_low"].iloc[0], high["attacked_high"].iloc[0])
            _bar(axis, low["epsilon"].iloc[0], *ends, color, _QUANTILE_BAR)
        exact = _mean_over_seeds(rows, "exact")
        marker = "_" if len(exact) == 1 else None
        axis.plot(
            *(exact["epsilon"], exact["exact"]),
            color="black",
            linestyle="-.",
            linewidth=1,
            marker=marker,
            markersize=12,
        )


def _bar(axis: Axes, x: float, low: float, high: float, color: str, style: dict[str, Any]) -> None:
    """Draw a range at one epsilon, where a band would have no width."""
    center = (low + high) / 2
    axis.errorbar(x, center, yerr=(high - low) / 2, fmt="none", ecolor=color, **style)


def _mean_over_seeds(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    return rows.dropna(subset=[column]).groupby("epsilon")[column].mean().reset_index()


def _points(rows: pd.DataFrame, column: str, clean: float) -> tuple[list[float], list[float]]:
    """Return epsilons and levels; at epsilon 0 noise and attack are the clean level."""
    known = rows.dropna(subset=[column])
    x, y = list(known["epsilon"]), list(known[column])
    if x and x[0] > 0 and column != "certified":
        return [0.0, *x], [clean, *y]
    return x, y


def _legend(posterior: bool, exact: bool, seeds: int) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [Line2D([], [], color=CLEAN, linewidth=1, label="clean")]
    handles += [
        Line2D([], [], color="black", markersize=4, label=name, **style)
        for name, style in _STYLES.items()
    ]
    if posterior:
        label = "attacked, 15 % and 85 %"
        handles.append(Line2D([], [], color="black", label=label, **_QUANTILES))
    if seeds > 1:
        handles.append(Patch(color="black", alpha=0.25, lw=0, label=f"range over {seeds} seeds"))
    if exact:
        handles.append(Line2D([], [], color="black", ls="-.", lw=1, label="exact posterior, worst"))
    return handles
