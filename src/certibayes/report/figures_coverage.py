"""Expected coverage, clean and under attack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from certibayes.columns import MODEL_KEYS
from certibayes.report.figures_style import CLEAN, defense_label
from certibayes.report.summary import read_metrics

_ROW = ["budget", "model"]
_LABELS = {"coverage": "expected coverage", "tarp": "coverage of balls (TARP)"}


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
    one row per model; means over seeds, the clean one with a band from the smallest to the largest
    seed. Attacks other than noise are drawn, darker for larger epsilons.

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
    size = (max(1.0 + 3.6 * len(defenses), 5.0), 0.6 + 3.4 * len(rows))
    figure = Figure(size, layout="constrained")
    axes = figure.subplots(len(rows), len(defenses), sharex=True, sharey=True, squeeze=False)
    for row, group in enumerate(rows):
        for column, defense in enumerate(defenses):
            axis = axes[row, column]
            own = group[group["defense"] == defense]
            _panel(axis, own, summary, colors[defense], quantity)
            if row == 0:
                axis.set_title(defense_label(defense), color=colors[defense], fontsize=10)
        label = f"{group['model'].iloc[0]}, n = {group['budget'].iloc[0]}"
        axes[row, 0].set_ylabel(f"{label}\n{_LABELS[quantity]}")
    for axis in axes[-1]:
        axis.set_xlabel("credibility level")
    figure.suptitle(str(summary["task"].iloc[0]), fontsize=12)
    return figure


def _panel(
    axis: Axes, coverage: pd.DataFrame, summary: pd.DataFrame, color: str, quantity: str
) -> None:
    axis.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":")
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    if coverage.empty:
        axis.text(0.5, 0.3, "not in this study", ha="center", transform=axis.transAxes)
        return
    clean = coverage[coverage["method"] == "clean"].groupby("level")[quantity]
    ends = clean.agg(["mean", "min", "max"])
    axis.plot(ends.index, ends["mean"], color=CLEAN, linewidth=1.6, label="clean")
    axis.fill_between(ends.index, ends["min"], ends["max"], color=CLEAN, alpha=0.25, lw=0)
    attacks = summary[(summary["stage"] == "attack") & (summary["kind"] != "noise")]
    about = attacks.drop_duplicates("method").set_index("method")[["norm", "unit"]]
    found = coverage[coverage["method"].isin(about.index)]
    for number, (method, curves) in enumerate(found.groupby("method", sort=False)):
        epsilons = sorted(set(curves["epsilon"]))
        for step, epsilon in enumerate(epsilons, start=1):
            curve = curves[curves["epsilon"] == epsilon].groupby("level")[quantity].mean()
            norm, unit = about.loc[method]
            axis.plot(
                curve.index,
                curve,
                color=_shade(color, step / len(epsilons)),
                linestyle=("--", "-.", ":")[number % 3],
                label=f"{method} {epsilon:g} ({norm}, {unit})",
            )
    axis.legend(fontsize=6.5, frameon=False, loc="upper left")


def _shade(color: str, strength: float) -> tuple[float, ...]:
    """Mix a color with white; strength 1 is the color itself."""
    weight = 0.35 + 0.65 * strength
    return tuple(1 - weight * (1 - part) for part in to_rgb(color))
