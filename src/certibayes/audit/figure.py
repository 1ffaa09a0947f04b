"""The figure of an audit's card."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from certibayes.report.figures_style import CLEAN, PALETTE, epsilon_label

NOISE, ATTACK, CERTIFIED = PALETTE[2], PALETTE[0], PALETTE[1]


def figure_of(record: dict[str, Any]) -> Figure:
    """Draw attacks and certificate against epsilon and, with true thetas, coverage.

    Args:
        record: see `record.record_of`.
    """
    covered = record["clean"]["coverage"] is not None
    figure = Figure((9.0 if covered else 5.0, 3.4), layout="constrained")
    axes = figure.subplots(1, 2 if covered else 1, squeeze=False)[0]
    _curves(axes[0], record)
    if covered:
        _coverage(axes[1], record)
    return figure


def embedded(figure: Figure) -> str:
    """Return a figure as a data URI."""
    content = BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def _curves(axes: Axes, record: dict[str, Any]) -> None:
    """Draw median total variation; the bands are the 15 % and 85 % quantiles."""
    names = list(dict.fromkeys(one["attack"] for one in record["attacks"]))
    for name, style in zip(names, ((NOISE, "o:"), (ATTACK, "s--")), strict=False):
        color, line = style
        rows = [one for one in record["attacks"] if one["attack"] == name]
        rows = [one for one in rows if one["total_variation_quantiles"][1] is not None]
        radii = [one["epsilon"] for one in rows]
        low, middle, high = (
            [one["total_variation_quantiles"][place] for one in rows] for place in range(3)
        )
        axes.plot(radii, middle, line, color=color, label=name)
        axes.fill_between(radii, low, high, color=color, alpha=0.15, linewidth=0)
    if record["certificate"] is not None:
        rows = record["certificate"]["rows"]
        bounds = [sorted(one["upper"])[len(one["upper"]) // 2] for one in rows]
        radii = [one["epsilon"] for one in rows]
        axes.plot(radii, bounds, "D-", color=CERTIFIED, label="certified (upper bound)")
    ball = record["perturbation"]
    axes.set(
        xlabel=epsilon_label(ball["norm"], ball["unit"]),
        ylabel="total variation, median",
        ylim=(-0.02, 1.02),
    )
    axes.legend(loc="center left", fontsize=8)


def _coverage(axes: Axes, record: dict[str, Any]) -> None:
    strongest = record["attacks"][-1]
    shown = (
        ("clean", record["clean"]["coverage"], CLEAN),
        (f"{strongest['attack']}, {strongest['epsilon']:g}", strongest["coverage"], ATTACK),
    )
    axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=1)
    for label, one, color in shown:
        axes.plot(one["levels"], one["coverage"], color=color, label=label)
    axes.set(xlabel="credibility of the region", ylabel="true thetas inside", ylim=(-0.02, 1.02))
    axes.legend(fontsize=8)
