"""Pair plots of posteriors at real observations, clean and attacked."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from certibayes.report.figures_style import CLEAN, columns_within, defense_label
from certibayes.report.posteriors import ObservedPosterior

MASSES = (0.9, 0.5)
_BINS = 40
_PANEL_INCHES = 1.05
Limits = list[tuple[float, float]]


def posterior_figure(posteriors: Sequence[ObservedPosterior], colors: dict[str, str]) -> Figure:
    """Draw one task: one pair plot per model and defense (first seed), all on the same axes.

    Gray is q(. | x), color is q(. | x') for the strongest attack at its largest epsilon. The
    diagonal shows marginals, below it lie the regions of highest density with 50 % and 90 % mass.

    Args:
        posteriors: of one task, at one observation.
        colors: color per defense.
    """
    shown = list(
        {(one.budget, one.model, one.defense): one for one in reversed(posteriors)}.values()
    )[::-1]
    order = list(colors)
    shown.sort(key=lambda one: (one.budget, one.model, order.index(one.defense)))
    limits = _limits(shown)
    side = _PANEL_INCHES * len(limits) + 0.9
    columns = columns_within(len(shown) if len(shown) <= 3 else 2, 0.0, side)
    rows = math.ceil(len(shown) / columns)
    figure = Figure((side * columns, (side + 0.6) * rows), layout="constrained")
    grid = figure.subfigures(rows, columns, squeeze=False, wspace=0.03, hspace=0.03)
    for part, one in zip(grid.flat, shown, strict=False):
        _pair_plot(part, one, limits, colors[one.defense])
    figure.suptitle(f"{shown[0].task}, real observation {shown[0].observation}", fontsize=13)
    return figure


def _limits(posteriors: Sequence[ObservedPosterior]) -> Limits:
    """Return a range per parameter with 99 % of the draws of every shown posterior."""
    sources = [one.clean for one in posteriors]
    sources += [one.strongest.draws for one in posteriors if one.strongest is not None]
    low = np.min([np.quantile(draws, 0.005, axis=0) for draws in sources], axis=0)
    high = np.max([np.quantile(draws, 0.995, axis=0) for draws in sources], axis=0)
    high = np.maximum(high, low + 1e-12)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def _pair_plot(part: SubFigure, one: ObservedPosterior, limits: Limits, color: str) -> None:
    size = len(limits)
    axes = part.subplots(size, size, squeeze=False)
    sources = [(one.clean, CLEAN)]
    handles = [Line2D([], [], color=CLEAN, label="clean")]
    if one.strongest is not None:
        sources.append((one.strongest.draws, color))
        handles.append(Line2D([], [], color=color, label=one.strongest.label))
    for row in range(size):
        for column in range(size):
            axis = axes[row, column]
            if column > row:
                axis.set_axis_off()
                continue
            for draws, shade in sources:
                if column == row:
                    _marginal(axis, draws[:, row], limits[row], shade)
                else:
                    _contours(
                        axis, draws[:, column], draws[:, row], limits[column], limits[row], shade
                    )
            _decorate(axis, one.names, row, column, limits)
    part.suptitle(
        f"{one.model}, {defense_label(one.defense)}, n = {one.budget}, seed {one.seed}",
        fontsize=12,
    )
    part.legend(handles=handles, loc="upper right", bbox_to_anchor=(0.98, 0.93), frameon=False)


def _marginal(
    axis: Axes, values: NDArray[np.float64], limits: tuple[float, float], color: str
) -> None:
    density, edges = np.histogram(values, _BINS, range=limits, density=True)
    smooth = gaussian_filter(density, 1.0)
    centers = (edges[1:] + edges[:-1]) / 2
    axis.plot(centers, smooth, color=color, linewidth=1.2)
    axis.fill_between(centers, smooth, color=color, alpha=0.15, lw=0)
    axis.set_ylim(bottom=0)
    axis.set_yticks([])


def _contours(
    axis: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    x_limits: tuple[float, float],
    y_limits: tuple[float, float],
    color: str,
) -> None:
    counts, x_edges, y_edges = np.histogram2d(x, y, _BINS, range=[x_limits, y_limits])
    smooth = gaussian_filter(counts, 2.0)
    ordered = np.sort(smooth.ravel())[::-1]
    mass = ordered.cumsum() / max(ordered.sum(), np.finfo(float).tiny)
    thresholds = sorted({float(ordered[np.searchsorted(mass, share)]) for share in MASSES})
    x_centers, y_centers = (x_edges[1:] + x_edges[:-1]) / 2, (y_edges[1:] + y_edges[:-1]) / 2
    if thresholds[0] > 0 and thresholds[-1] < ordered[0]:
        axis.contour(
            x_centers, y_centers, smooth.T, levels=thresholds, colors=[color], linewidths=(0.7, 1.2)
        )


def _decorate(axis: Axes, names: tuple[str, ...], row: int, column: int, limits: Limits) -> None:
    size = len(limits)
    axis.set_xlim(*limits[column])
    axis.xaxis.set_major_locator(MaxNLocator(3, prune="both"))
    axis.tick_params(labelsize=6)
    if column != row:
        axis.set_ylim(*limits[row])
        axis.yaxis.set_major_locator(MaxNLocator(3, prune="both"))
    if row == size - 1:
        axis.set_xlabel(names[column], fontsize=9)
        axis.tick_params(axis="x", labelrotation=45)
    else:
        axis.set_xticklabels([])
    if column == 0 and row > 0:
        axis.set_ylabel(names[row], fontsize=9)
    elif column != row:
        axis.set_yticklabels([])
