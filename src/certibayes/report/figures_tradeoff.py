"""The trade-off curve: robustness against clean fit and calibration, one curve per defense."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from certibayes.report.figures_style import ball_label, curve_colors, defense_label
from certibayes.report.tradeoff import CLASSIFIER, WORST

MOST_EPSILONS = 4
_MARKERS = ("o", "s", "D", "^", "v", "P", "X")
_NEAR = 0.12
"""Share of the axes below which two labels would overlap."""
_RING: dict[str, Any] = {
    "marker": "o",
    "markerfacecolor": "none",
    "markeredgecolor": "black",
    "markersize": 10,
}


class _Panel(NamedTuple):
    """One row of the figure: which rows of the table, against what."""

    stage: str
    quantity: str
    axis: str
    pareto: str
    x_label: str
    y_label: str


_FORWARD = "median KL(q(.|x) || q(.|x')),\nworst attack (← more robust)"
_REVERSE = "median KL(q(.|x') || q(.|x)),\nworst attack (← more robust)"
_FIT, _AREA = "NLL, clean (↓ better)", "coverage area, clean (↓ better)"
_DIVERGENCES = ("forward_kl_median", "reverse_kl_median")
_POSTERIOR = (
    _Panel("attack", "forward_kl_median", "fit", "pareto", _FORWARD, _FIT),
    _Panel("attack", "reverse_kl_median", "fit", "pareto", _REVERSE, _FIT),
    _Panel("attack", "forward_kl_median", "coverage_area", "pareto_coverage", _FORWARD, _AREA),
    _Panel("attack", "reverse_kl_median", "coverage_area", "pareto_coverage", _REVERSE, _AREA),
    _Panel(
        *("certify", "total_variation_median", "fit", "pareto"),
        "certified total variation (← more robust)",
        _FIT,
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


def tradeoff_figure(table: pd.DataFrame, colors: Mapping[str, str] | None = None) -> Figure:
    """Draw one task, budget, model, norm and unit: a column per epsilon, a row per pair of axes.

    The divergence is the one that the attacks maximize: KL(q(. | x') || q(. | x)) of those with the
    objective `reverse_kl`, else KL(q(. | x) || q(. | x')); with attacks of both kinds, both. Points
    are means over seeds, bars reach from the smallest to the largest seed. Rings mark the
    Pareto-optimal points on the axes of their panel. Of more than `MOST_EPSILONS` epsilons evenly
    spaced ones are drawn.

    Args:
        table: rows of `tradeoff.tradeoff`.
        colors: color per curve; without it those of `figures_style.curve_colors`.
    """
    drawn = drawn_rows(table)
    panels = _panels(drawn, maximized(table))
    first = drawn.iloc[0]
    epsilons = _chosen(sorted(set(drawn["epsilon"])))
    styles = _styles(drawn, colors or curve_colors(drawn["curve"]))
    handles = _legend(styles, drawn)
    width = max(1.0 + 3.4 * len(epsilons), 7.0)
    columns = max(1, min(len(handles), int(width / 2.6)))
    legend = 0.25 * ceil(len(handles) / columns) + 0.1
    size = (width, 0.7 + 3.1 * len(panels) + legend)
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    figure = Figure(size, layout=layout)
    axes = figure.subplots(len(panels), len(epsilons), sharex="none", sharey="row", squeeze=False)
    drawings = []
    for row, panel in enumerate(panels):
        rows = drawn[(drawn["stage"] == panel.stage) & (drawn["quantity"] == panel.quantity)]
        for column, epsilon in enumerate(epsilons):
            axis = axes[row, column]
            points = rows[rows["epsilon"] == epsilon]
            _draw(axis, points, panel, styles)
            drawings.append((axis, points, panel))
            axis.set_xlabel(panel.x_label, fontsize=9)
            if row == 0:
                title = f"epsilon {epsilon:g} ({first['norm']}, {first['unit']})"
                axis.set_title(title, fontsize=10)
        axes[row, 0].set_ylabel(panel.y_label)
    for drawing in drawings:
        _label_curves(*drawing, styles)
    restricted = ball_label(first["norm"], first["unit"], first["clip"], first["mask"])
    restricted = restricted.removeprefix(ball_label(first["norm"], first["unit"]))
    model = f"{first['task']}, {first['model']}, n = {first['budget']}"
    figure.suptitle(f"{model}{restricted}: what robustness costs", fontsize=11)
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=9
    )
    return figure


def drawn_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that the figure draws: the worst attacks and the certificates."""
    return table[(table["method"] == WORST) | (table["stage"] == "certify")]


def maximized(table: pd.DataFrame) -> set[str]:
    """Return which of the two median KL divergences the attacks, noise left out, maximize.

    Args:
        table: rows of `tradeoff.tradeoff`.
    """
    own = (table["stage"] == "attack") & (table["method"] != WORST) & (table["kind"] != "noise")
    objectives = set(table.loc[own, "objective"])
    found = {"reverse_kl_median"} if "reverse_kl" in objectives else set()
    return found if objectives == {"reverse_kl"} else found | {"forward_kl_median"}


def _panels(table: pd.DataFrame, divergences: set[str]) -> list[_Panel]:
    classifies = CLASSIFIER in set(table["quantity"])
    there = set(zip(table["stage"], table["quantity"], strict=True))
    wanted = _CLASSIFIER if classifies else _POSTERIOR
    hidden = set(_DIVERGENCES) - divergences
    found = [one for one in wanted if (one.stage, one.quantity) in there]
    found = [one for one in found if one.quantity not in hidden]
    return [one for one in found if table[one.axis].notna().any()]


def _chosen(epsilons: list[float]) -> list[float]:
    if len(epsilons) <= MOST_EPSILONS:
        return epsilons
    places = np.linspace(0, len(epsilons) - 1, MOST_EPSILONS).round().astype(int)
    return [epsilons[place] for place in places]


def _styles(table: pd.DataFrame, colors: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return color and marker of every curve; the undefended model comes first."""
    curves = sorted(set(table["curve"]), key=lambda name: (name != "none", name))
    offset = 0 if "none" in curves else 1
    return {
        curve: (colors[curve], _MARKERS[(offset + i) % len(_MARKERS)])
        for i, curve in enumerate(curves)
    }


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
    for curve, (color, marker) in styles.items():
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
    best = known[known[panel.pareto].astype(bool)]
    axis.plot(best["robustness"], best[panel.axis], linestyle="none", zorder=3, **_RING)
    axis.margins(0.14)
    if panel.quantity in _DIVERGENCES and _spans_decades(known["robustness"]):
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(numticks=5))
        axis.xaxis.set_minor_formatter(NullFormatter())


def _reach(points: pd.DataFrame, axis: str) -> np.ndarray:
    low, high = points[axis] - points[f"{axis}_low"], points[f"{axis}_high"] - points[axis]
    return np.clip(np.stack([low.to_numpy(float), high.to_numpy(float)]), 0, None)


def _label_curves(
    axis: Axes, rows: pd.DataFrame, panel: _Panel, styles: dict[str, tuple[str, str]]
) -> None:
    """Write the swept values once the limits of the axes are final."""
    known = rows[np.isfinite(rows["robustness"]) & np.isfinite(rows[panel.axis])]
    for number, (curve, (color, _)) in enumerate(styles.items()):
        _label_ends(axis, known[known["curve"] == curve], panel.axis, color, number % 2 == 0)


def _label_ends(axis: Axes, points: pd.DataFrame, quantity: str, color: str, above: bool) -> None:
    """Write the swept value beside the first and the last point of a curve, inside the frame."""
    swept = points[points["value"].notna()]
    axis.autoscale_view()
    texts: dict[tuple[float, float], str] = {}
    for index in dict.fromkeys([*swept.index[:1], *swept.index[-1:]]):
        point = swept.loc[index]
        value = point["value"]
        text = f"{value:g}" if isinstance(value, int | float) else str(value)
        shown = (point["robustness"], point[quantity])
        right, top = axis.transAxes.inverted().transform(axis.transData.transform(shown))
        near = [one for one in texts if np.hypot(one[0] - right, one[1] - top) < _NEAR]
        if near:
            texts[near[0]] += f", {text}"
        else:
            texts[right, top] = text
    for (right, top), text in texts.items():
        high = top < 0.12 or (above and top < 0.88)
        axis.annotate(
            text,
            (right, top),
            xycoords="axes fraction",
            xytext=(7 if right < 0.75 else -7, 5 if high else -5),
            textcoords="offset points",
            ha="left" if right < 0.75 else "right",
            va="bottom" if high else "top",
            fontsize=7,
            color=color,
        )


def _spans_decades(values: pd.Series) -> bool:
    return bool((values > 0).all() and values.max() >= 10 * values.min())


def _legend(styles: dict[str, tuple[str, str]], table: pd.DataFrame) -> list[Line2D]:
    swept = table.dropna(subset=["parameter"]).groupby("curve")[["parameter", "swept"]].first()
    handles = []
    for curve, (color, marker) in styles.items():
        label = defense_label(curve)
        if curve in swept.index:
            parameter = str(swept["parameter"][curve]).rpartition(".")[2]
            label += f": {parameter} of {swept['swept'][curve]}"
        handles.append(Line2D([], [], color=color, marker=marker, lw=1, ms=5, label=label))
    handles.append(Line2D([], [], linestyle="none", label="Pareto-optimal", **_RING))
    if (table["seeds"] > 1).any():
        most = int(table["seeds"].max())
        label = f"range over {most} seeds"
        handles.append(Line2D([], [], color="gray", lw=0.8, label=label))
    return handles
