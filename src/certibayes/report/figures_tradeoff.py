"""The trade-off curve: robustness against clean fit and calibration, one curve per defense."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from certibayes.report.figures_style import PALETTE, defense_label
from certibayes.report.tradeoff import CLASSIFIER, POSTERIOR, WORST

MOST_EPSILONS = 4
_MARKERS = ("o", "s", "D", "^", "v", "P", "X")
_RING: dict[str, Any] = {
    "marker": "o",
    "markerfacecolor": "none",
    "markeredgecolor": "black",
    "markersize": 10,
}
_LEGEND_INCHES = 0.6


class _Panel(NamedTuple):
    """One row of the figure: which rows of the table, against what."""

    stage: str
    quantity: str
    axis: str
    pareto: str
    x_label: str
    y_label: str


_POSTERIOR = (
    _Panel(
        *("attack", "forward_kl_median", "fit", "pareto"),
        "median KL, worst attack (← more robust)",
        "NLL, clean (↓ better)",
    ),
    _Panel(
        *("attack", "forward_kl_median", "coverage_area", "pareto_coverage"),
        "median KL, worst attack (← more robust)",
        "coverage area, clean (↓ better)",
    ),
    _Panel(
        *("certify", "total_variation_median", "fit", "pareto"),
        "certified total variation (← more robust)",
        "NLL, clean (↓ better)",
    ),
)
_CLASSIFIER = (
    _Panel(
        *("attack", CLASSIFIER, "fit", "pareto"),
        "accuracy, worst attack (→ more robust)",
        "accuracy, clean (↑ better)",
    ),
    _Panel(
        *("certify", CLASSIFIER, "fit", "pareto"),
        "certified accuracy (→ more robust)",
        "accuracy, clean (↑ better)",
    ),
)


def tradeoff_figure(table: pd.DataFrame) -> Figure:
    """Draw one task, budget, model, norm and unit: a column per epsilon, a row per pair of axes.

    Points are means over seeds, bars reach from the smallest to the largest seed. Rings mark the
    Pareto-optimal points on the axes of their panel. Of more than `MOST_EPSILONS` epsilons evenly
    spaced ones are drawn.

    Args:
        table: rows of `tradeoff.tradeoff`.
    """
    drawn = table[(table["method"] == WORST) | (table["stage"] == "certify")]
    panels = _panels(drawn)
    first = drawn.iloc[0]
    epsilons = _chosen(sorted(set(drawn["epsilon"])))
    styles = _styles(drawn)
    size = (max(1.0 + 3.4 * len(epsilons), 7.0), 0.7 + 3.0 * len(panels) + _LEGEND_INCHES)
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    figure = Figure(size, layout=layout)
    axes = figure.subplots(len(panels), len(epsilons), sharex="none", sharey="row", squeeze=False)
    for row, panel in enumerate(panels):
        rows = drawn[(drawn["stage"] == panel.stage) & (drawn["quantity"] == panel.quantity)]
        for column, epsilon in enumerate(epsilons):
            axis = axes[row, column]
            _draw(axis, rows[rows["epsilon"] == epsilon], panel, styles)
            axis.set_xlabel(panel.x_label, fontsize=9)
            if row == 0:
                title = f"epsilon {epsilon:g} ({first['norm']}, {first['unit']})"
                axis.set_title(title, fontsize=10)
        axes[row, 0].set_ylabel(panel.y_label)
    figure.suptitle(
        f"{first['task']}, {first['model']}, n = {first['budget']}: what robustness costs",
        fontsize=11,
    )
    handles = _legend(styles, drawn)
    columns = max(1, min(len(handles), int(size[0] / 2.3)))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=9
    )
    return figure


def _panels(table: pd.DataFrame) -> list[_Panel]:
    classifies = CLASSIFIER in set(table["quantity"])
    there = set(zip(table["stage"], table["quantity"], strict=True))
    wanted = _CLASSIFIER if classifies else _POSTERIOR
    found = [one for one in wanted if (one.stage, one.quantity) in there]
    return [one for one in found if table[one.axis].notna().any()]


def _chosen(epsilons: list[float]) -> list[float]:
    if len(epsilons) <= MOST_EPSILONS:
        return epsilons
    places = np.linspace(0, len(epsilons) - 1, MOST_EPSILONS).round().astype(int)
    return [epsilons[place] for place in places]


def _styles(table: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Return color and marker of every curve; the undefended model has the first."""
    curves = sorted(set(table["curve"]) - {"none"})
    colors = [PALETTE[(1 + i) % len(PALETTE)] for i in range(len(curves))]
    markers = [_MARKERS[(1 + i) % len(_MARKERS)] for i in range(len(curves))]
    found = {"none": (PALETTE[0], _MARKERS[0])} if "none" in set(table["curve"]) else {}
    return found | dict(zip(curves, zip(colors, markers, strict=True), strict=True))


def _draw(
    axis: Axes, rows: pd.DataFrame, panel: _Panel, styles: dict[str, tuple[str, str]]
) -> None:
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8, labelbottom=True)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    known = rows[np.isfinite(rows["robustness"]) & np.isfinite(rows[panel.axis])]
    if known.empty:
        axis.text(0.5, 0.5, "nothing measured", ha="center", transform=axis.transAxes)
        return
    for number, (curve, (color, marker)) in enumerate(styles.items()):
        points = known[known["curve"] == curve]
        if points.empty:
            continue
        x, y = points["robustness"], points[panel.axis]
        axis.plot(x, y, color=color, marker=marker, markersize=5, linewidth=1, zorder=2)
        repeated = points[points["seeds"] > 1]
        axis.errorbar(
            repeated["robustness"],
            repeated[panel.axis],
            xerr=_reach(repeated, "robustness"),
            yerr=_reach(repeated, panel.axis),
            fmt="none",
            ecolor=color,
            elinewidth=0.8,
            alpha=0.6,
            zorder=1,
        )
        _label_ends(axis, points, panel.axis, color, above=number % 2 == 0)
    best = known[known[panel.pareto].astype(bool)]
    axis.plot(best["robustness"], best[panel.axis], linestyle="none", zorder=3, **_RING)
    axis.margins(0.14)
    if panel.quantity == POSTERIOR[0] and _spans_decades(known["robustness"]):
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(numticks=5))
        axis.xaxis.set_minor_formatter(NullFormatter())


def _reach(points: pd.DataFrame, axis: str) -> np.ndarray:
    low, high = points[axis] - points[f"{axis}_low"], points[f"{axis}_high"] - points[axis]
    return np.clip(np.stack([low.to_numpy(float), high.to_numpy(float)]), 0, None)


def _label_ends(axis: Axes, points: pd.DataFrame, quantity: str, color: str, above: bool) -> None:
    """Write the swept value beside the first and the last point of a curve."""
    swept = points[points["value"].notna()]
    for index in dict.fromkeys([*swept.index[:1], *swept.index[-1:]]):
        point = swept.loc[index]
        value = point["value"]
        text = f"{value:g}" if isinstance(value, int | float) else str(value)
        axis.annotate(
            text,
            (point["robustness"], point[quantity]),
            xytext=(7, 5) if above else (7, -11),
            textcoords="offset points",
            fontsize=7,
            color=color,
        )


def _spans_decades(values: pd.Series) -> bool:
    return bool((values > 0).all() and values.max() >= 10 * values.min())


def _legend(styles: dict[str, tuple[str, str]], table: pd.DataFrame) -> list[Line2D]:
    parameters = table.dropna(subset=["parameter"]).groupby("curve")["parameter"].first()
    handles = []
    for curve, (color, marker) in styles.items():
        label = defense_label(curve)
        if curve in parameters:
            label += f": {parameters[curve].rpartition('.')[2]}"
        handles.append(Line2D([], [], color=color, marker=marker, lw=1, ms=5, label=label))
    handles.append(Line2D([], [], linestyle="none", label="Pareto-optimal", **_RING))
    if (table["seeds"] > 1).any():
        most = int(table["seeds"].max())
        label = f"range over {most} seeds"
        handles.append(Line2D([], [], color="gray", lw=0.8, label=label))
    return handles
