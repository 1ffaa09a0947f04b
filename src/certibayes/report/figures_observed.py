"""The real observation with the observations that attacks made of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from certibayes.report.figures_style import defense_label
from certibayes.report.posteriors import ObservedPosterior

_TICKS = 15


def observed_figure(posteriors: Sequence[ObservedPosterior], colors: dict[str, str]) -> Figure:
    """Draw one task: how far the strongest attack on each model (first seed) moved the input.

    Above every feature of x and x' in raw units, below the difference x' - x.

    Args:
        posteriors: of one task, at one observation.
        colors: color per defense.
    """
    first = {(one.budget, one.model, one.defense): one for one in reversed(posteriors)}
    several = len({(one.budget, one.model) for one in posteriors}) > 1
    figure = Figure((9.0, 5.2), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    x = posteriors[0].x
    index = np.arange(1, len(x) + 1)
    top.plot(index, x, color="black", marker="o", markersize=3.5, label="observed")
    for styles, one in enumerate(list(first.values())[::-1]):
        if one.strongest is None:
            continue
        prefix = f"{one.model}, n = {one.budget}, " if several else ""
        label = f"{prefix}{defense_label(one.defense)}: {one.strongest.label}"
        style = {"color": colors[one.defense], "linestyle": ("--", "-.", ":")[styles % 3]}
        top.plot(index, one.strongest.x, linewidth=1.2, label=label, **style)
        bottom.plot(index, one.strongest.x - x, linewidth=1.2, **style)
    bottom.axhline(0, color="black", linewidth=0.8)
    for axis, label in ((top, "x (raw units)"), (bottom, "x' - x")):
        axis.set_ylabel(label)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    bottom.set_xlabel("feature of x")
    names = posteriors[0].features
    if names:
        shown = index[:: -(-len(names) // _TICKS)]
        labels = [names[i - 1] for i in shown]
        bottom.set_xticks(shown, labels, rotation=45, ha="right", fontsize=8)
    figure.suptitle(
        f"{posteriors[0].task}: the real observation {posteriors[0].observation} under attack",
        fontsize=12,
    )
    figure.legend(loc="outside lower center", fontsize=8, frameon=False)
    return figure
