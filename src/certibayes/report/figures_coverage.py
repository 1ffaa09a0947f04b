"""Expected coverage, clean and under attack."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from certibayes.columns import MODEL_KEYS
from certibayes.report.figures_style import (
    CLEAN,
    ball_label,
    columns_within,
    defense_label,
    shade,
)
from certibayes.report.summary import read_metrics

_ROW = ["budget", "model"]
_LABELS = {"coverage": "expected coverage", "tarp": "coverage of balls (TARP)"}
_STYLES: tuple[Any, ...] = ("--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (2, 1)))
_MOST_WHITE = 0.5


class _Curve(NamedTuple):
    """One attack at one epsilon: how it is drawn, whatever the defense's color."""

    method: str
    epsilon: float
    label: str
    style: Any
    white: float


def read_coverage(folders: Sequence[Path]) -> pd.DataFrame:
    """Return coverage.csv of all models with the model's keys; classifiers have no rows."""
    tables = []
    for folder in folders:
        first = read_metrics(folder).iloc[0]
        keys = {key: first[key] for key in MODEL_KEYS}
        tables.append(pd.read_csv(folder / "coverage.csv").assign(**keys))
    filled = [table for table in tables if not table.empty]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]


def coverage_figure(
    coverage: pd.DataFrame,
    summary: pd.DataFrame,
    colors: dict[str, str],
    quantity: Literal["coverage", "tarp"] = "coverage",
) -> Figure:
    """Draw one task: share of thetas inside the credible region against its level.

    The diagonal is calibrated; below it the posterior is overconfident. One panel per defense,
    new rows per model; means over seeds, the clean one with a band from the smallest to the largest
    seed. Attacks other than noise are drawn in the color of the defense, darker for larger
    epsilons; the legend below the panels shows their shades in gray.

    Args:
        coverage: rows of one task, as `read_coverage` returns them.
        summary: rows of the same task.
        colors: color per defense.
        quantity: "coverage" of highest-density regions, or "tarp": of balls around random points
            (Lemos et al., 2023).
    """
    coverage = coverage.dropna(subset=[quantity])
    rows = [group for _, group in coverage.groupby(_ROW)]
    defenses = [name for name in colors if name in set(coverage["defense"])]
    across = columns_within(len(defenses), 1.0, 3.6)
    lines = ceil(len(defenses) / across)
    curves = _curves(coverage, summary)
    handles = _legend(curves)
    width = max(1.0 + 3.6 * across, 5.0)
    beside = max(1, min(len(handles), int(width / 3.2)))
    legend = 0.25 * ceil(len(handles) / beside)
    figure = Figure((width, 0.6 + 3.9 * lines * len(rows) + legend), layout="constrained")
    axes = figure.subplots(lines * len(rows), across, sharex=True, sharey=True, squeeze=False)
    for axis in axes.flat:
        axis.set_visible(False)
    for row, group in enumerate(rows):
        for place, defense in enumerate(defenses):
            axis = axes[row * lines + place // across, place % across]
            axis.set_visible(True)
            own = group[group["defense"] == defense]
            _panel(axis, own, curves, colors[defense], quantity)
            axis.tick_params(labelbottom=True)
            axis.set_xlabel("credibility level", fontsize=9)
            if row == 0 or lines > 1:
                axis.set_title(defense_label(defense), color=colors[defense], fontsize=10)
        label = f"{group['model'].iloc[0]}, n = {group['budget'].iloc[0]}"
        for line in range(lines):
            axes[row * lines + line, 0].set_ylabel(f"{label}\n{_LABELS[quantity]}")
    figure.suptitle(str(summary["task"].iloc[0]), fontsize=12)
    figure.legend(
        handles=handles, loc="outside lower center", ncols=beside, frameon=False, fontsize=8
    )
    return figure


def _curves(coverage: pd.DataFrame, summary: pd.DataFrame) -> list[_Curve]:
    """Return the attacks beside noise at every epsilon, the same in all panels."""
    attacks = summary[(summary["stage"] == "attack") & (summary["kind"] != "noise")]
    measured = coverage[coverage["method"].isin(attacks["method"])]
    found = []
    for number, (method, rows) in enumerate(measured.groupby("method", sort=False)):
        about = attacks[attacks["method"] == method].iloc[0]
        ball = ball_label(*(about[key] for key in ("norm", "unit", "clip", "mask")))
        epsilons = sorted(set(rows["epsilon"]))
        found += [
            _Curve(
                *(str(method), epsilon, f"{method} {epsilon:g} ({ball})"),
                *(_STYLES[number % len(_STYLES)], _MOST_WHITE * (1 - step / len(epsilons))),
            )
            for step, epsilon in enumerate(epsilons, start=1)
        ]
    return found


def _legend(curves: list[_Curve]) -> list[Line2D]:
    handles = [
        Line2D([], [], color="black", lw=0.8, ls=":", label="calibrated"),
        Line2D([], [], color=CLEAN, lw=1.6, label="clean"),
    ]
    return handles + [
        Line2D([], [], color=shade("#000000", one.white), ls=one.style, label=one.label)
        for one in curves
    ]


def _panel(
    axis: Axes, coverage: pd.DataFrame, curves: list[_Curve], color: str, quantity: str
) -> None:
    axis.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":")
    axis.set(xlim=(0, 1), ylim=(0, 1))
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    if coverage.empty:
        axis.text(0.5, 0.3, "not in this study", ha="center", transform=axis.transAxes)
        return
    clean = coverage[coverage["method"] == "clean"].groupby("level")[quantity]
    ends = clean.agg(["mean", "min", "max"])
    axis.plot(ends.index, ends["mean"], color=CLEAN, linewidth=1.6)
    axis.fill_between(ends.index, ends["min"], ends["max"], color=CLEAN, alpha=0.25, lw=0)
    for one in curves:
        rows = coverage[(coverage["method"] == one.method) & (coverage["epsilon"] == one.epsilon)]
        curve = rows.groupby("level")[quantity].mean()
        axis.plot(curve.index, curve, color=shade(color, one.white), linestyle=one.style)
