"""Clean, noise, attacked and certified against epsilon."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from certibayes.report.figures_style import CLEAN, defense_label, epsilon_label
from certibayes.report.levels import levels

_STYLES: dict[str, dict[str, Any]] = {
    "noise": {"linestyle": ":", "marker": "o"},
    "attacked": {"linestyle": "--", "marker": "s"},
    "certified": {"linestyle": "-", "marker": "D"},
}
_ROW = ["budget", "model", "norm", "unit", "clip"]
_QUANTILES: dict[str, Any] = {"linestyle": (0, (1, 3)), "linewidth": 1}
_LEGEND_INCHES = 0.45


def curves_figure(summary: pd.DataFrame, colors: dict[str, str]) -> Figure:
    """Draw one task: one panel per defense, one row per model, norm and unit.

    Lines are means over seeds, with a band from the smallest to the largest seed. Posteriors:
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
    width, height = max(1.2 + 3.3 * len(defenses), 6.5), 0.6 + 2.9 * max(len(rows), 1)
    figure = Figure((width, height + _LEGEND_INCHES), layout=ConstrainedLayoutEngine(w_pad=0.12))
    axes = figure.subplots(max(len(rows), 1), len(defenses), sharey=True, squeeze=False)
    posterior = bool(summary["accuracy"].isna().all())
    if not rows:
        axes[0, 0].text(0.5, 0.5, "no attack, no certificate", transform=axes[0, 0].transAxes)
    for row, group in enumerate(rows):
        for column, defense in enumerate(defenses):
            axis = axes[row, column]
            _panel(axis, group[group["defense"] == defense], colors[defense], posterior)
            axis.set_xlim(0, 1.05 * group["epsilon"].max())
            axis.set_xlabel(epsilon_label(group["norm"].iloc[0], group["unit"].iloc[0]))
            if row == 0:
                axis.set_title(defense_label(defense), color=colors[defense], fontsize=10)
        level = "total variation" if posterior else "accuracy"
        axes[row, 0].set_ylabel(f"{group['model'].iloc[0]}, n = {group['budget'].iloc[0]}\n{level}")
    figure.suptitle(str(summary["task"].iloc[0]), fontsize=12)
    most = int(table.groupby([*_ROW, "defense"], dropna=False)["seed"].nunique().max())
    handles = _legend(posterior, bool(table["exact"].notna().any()), most)
    columns = min(len(handles), 2 * axes.shape[1])
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
    return figure


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
        axis.fill_between(band.index, band["min"], band["max"], color=color, alpha=0.25, lw=0)
        x, y = _points(_mean_over_seeds(rows, column), column, clean)
        axis.plot(x, y, color=color, markersize=4, **style)
    if posterior:
        for column in ("attacked_low", "attacked_high"):
            quantile = _mean_over_seeds(rows, column)
            axis.plot(quantile["epsilon"], quantile[column], color=color, **_QUANTILES)
        exact = _mean_over_seeds(rows, "exact")
        axis.plot(exact["epsilon"], exact["exact"], color="black", linestyle="-.", linewidth=1)


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
