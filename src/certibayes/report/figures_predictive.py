"""Series simulated from the posterior at real observations, over what was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from certibayes.columns import MODEL_KEYS
from certibayes.report.figures_style import columns_within, defense_label
from certibayes.report.summary import read_metrics

_COLUMN_INCHES, _ROW_INCHES, _TALL_ROW_INCHES = 5.2, 1.25, 2.0
_FEW_POINTS, _FEW_ROWS = 100, 4


@dataclass(frozen=True)
class Predictions:
    """Series that one model predicts at every real observation.

    Attributes:
        observations: one name per real observation.
        times: shape (points,).
        values: shape (observations, draws, series, points); a failed simulation is NaN.
        recordings: shape (observations, series, points), or None if they are not at hand.
        time_label: quantity and unit of the times.
        series_labels: quantity and unit of every series.
    """

    task: str
    budget: int
    model: str
    defense: str
    seed: int
    observations: tuple[str, ...]
    times: NDArray[np.float64]
    values: NDArray[np.float64]
    recordings: NDArray[np.float64] | None
    time_label: str
    series_labels: tuple[str, ...]


def read_predictions(folders: Sequence[Path]) -> list[Predictions]:
    """Return the predictions of the models whose task has them, in folder order.

    Args:
        folders: `evaluate` folders, each with metrics.csv and posterior.npz.
    """
    found = []
    for folder in folders:
        with np.load(folder / "posterior.npz", allow_pickle=False) as file:
            if "predicted/values" not in file:
                continue
            time_label, *series_labels = (str(label) for label in file["predicted/labels"])
            recorded = "predicted/recordings" in file
            row = read_metrics(folder).iloc[0]
            found.append(
                Predictions(
                    **{key: row[key] for key in MODEL_KEYS},
                    observations=tuple(str(name) for name in file["observations"]),
                    times=file["predicted/times"],
                    values=file["predicted/values"],
                    recordings=file["predicted/recordings"] if recorded else None,
                    time_label=time_label,
                    series_labels=tuple(series_labels),
                )
            )
    return found


def predictive_figure(predictions: Sequence[Predictions], colors: dict[str, str]) -> Figure:
    """Draw one task: a row per recording and series, a column per model (first seed).

    Models that do not fit side by side follow below.

    In color what the model's clean posterior predicts, in black the recording; if the recordings
    are not at hand, the title says so. An axis ends two ranges of the recording beyond it.

    Args:
        predictions: of one task.
        colors: color per defense.
    """
    first = {(one.budget, one.model, one.defense): one for one in reversed(predictions)}
    columns = list(first.values())[::-1]
    head = columns[0]
    across = columns_within(len(columns), 0.0, _COLUMN_INCHES)
    rows = [(i, j) for i in range(len(head.observations)) for j in range(len(head.series_labels))]
    height = _TALL_ROW_INCHES if len(rows) <= _FEW_ROWS else _ROW_INCHES
    lines = ceil(len(columns) / across)
    size = (max(8.0, _COLUMN_INCHES * across), height * len(rows) * lines + 1.2)
    figure = Figure(size, layout="constrained")
    grid = figure.subplots(len(rows) * lines, across, sharex=True, squeeze=False)
    blocks = [grid[i * len(rows) : (i + 1) * len(rows)] for i in range(lines)]
    axes = np.concatenate(blocks, axis=1)
    for axis in axes[:, len(columns) :].flat:
        axis.set_visible(False)
    axes = axes[:, : len(columns)]
    for place, (observation, series) in enumerate(rows):
        for axis, one in zip(axes[place], columns, strict=True):
            _draw(axis, one, observation, series, colors[one.defense])
        _share_limits(axes[place])
        if head.recordings is not None:
            _cut(axes[place], head.recordings[observation, series])
        for axis in axes[place, ::across]:
            axis.set_ylabel(head.series_labels[series], fontsize=8)
            axis.tick_params(labelleft=True)
    for axis, one in zip(axes[0], columns, strict=True):
        model = f"{one.model}, {defense_label(one.defense)}, n = {one.budget}, seed {one.seed}"
        axis.set_title(f"{model}\n{axis.get_title(loc='left')}", fontsize=8, loc="left")
    for axis in axes[-1]:
        axis.set_xlabel(head.time_label)
        axis.tick_params(labelbottom=True)
        axis.margins(x=0.01)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    recorded = head.recordings is not None
    missing = "" if recorded else "\n(recordings not at hand: set CERTIBAYES_DATA, evaluate again)"
    figure.suptitle(f"{head.task}: simulations from the clean posterior{missing}", fontsize=12)
    label = f"{head.values.shape[1]} draws of theta, one simulation each (color)"
    handles = [Line2D([], [], color=colors[one.defense], label=label) for one in columns[:1]]
    if recorded:
        handles.append(Line2D([], [], color="black", label="recording"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    return figure


def _draw(axis: Axes, one: Predictions, observation: int, series: int, color: str) -> None:
    values = one.values[observation, :, series]
    few = len(one.times) <= _FEW_POINTS
    axis.plot(one.times, values.T, color=color, linewidth=0.8 if few else 0.4, alpha=0.45)
    if one.recordings is not None:
        recording = one.recordings[observation, series]
        marker = "o" if few else None
        axis.plot(one.times, recording, "black", linewidth=0.9, marker=marker, markersize=3)
    failed = int(np.isnan(values).any(1).sum())
    name = one.observations[observation]
    if failed:
        name += f" ({failed} of {len(values)} simulations failed)"
    axis.set_title(name, fontsize=8, loc="left")
    axis.grid(alpha=0.25)
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)


def _share_limits(axes: Sequence[Axes]) -> None:
    for axis in axes[1:]:
        axis.sharey(axes[0])
        axis.tick_params(labelleft=False)
    axes[0].autoscale(axis="y")


def _cut(axes: Sequence[Axes], recording: NDArray[np.float64]) -> None:
    """Show at most twice the recording's range above and below it: predictions may explode."""
    low, high = (edge([axis.dataLim.intervaly for axis in axes]) for edge in (np.min, np.max))
    room = 2 * np.ptp(recording)
    low, high = max(low, recording.min() - room), min(high, recording.max() + room)
    margin = 0.05 * (high - low)
    axes[0].set_ylim(low - margin, high + margin)
