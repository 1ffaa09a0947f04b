"""All figures of a study; file names derive from the task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from certibayes.report.figures_coverage import coverage_figure, read_coverage
from certibayes.report.figures_curves import curves_figure
from certibayes.report.figures_model import model_figures, tradeoff_figures
from certibayes.report.figures_observed import observed_figure
from certibayes.report.figures_posterior import posterior_figure
from certibayes.report.figures_predictive import predictive_figure, read_predictions
from certibayes.report.figures_style import defense_colors
from certibayes.report.observed_certificates import read_certificates
from certibayes.report.posteriors import (
    ObservedPosterior,
    moments,
    of_first_observation,
    read_posteriors,
)
from certibayes.report.summary import write
from certibayes.writing import atomic


def write_all(
    summary: pd.DataFrame, tradeoffs: pd.DataFrame, evaluated: Sequence[Path], folder: Path
) -> list[Path]:
    """Write every figure and posterior table of a study; return the files.

    Every task gets `curves_<task>.png`; posterior tasks also `coverage_<task>.png` and
    `tarp_<task>.png`; every model the figures of `figures_model`; tasks with
    real observations also `posterior_<task>.png`, `posterior_<task>.csv`, `observed_<task>.png` and
    `certified_<task>.csv`; those that predict series also `predictive_<task>.png`.

    Args:
        summary: as `summary.collect` returns it.
        tradeoffs: as `tradeoff.tradeoff` returns it.
        evaluated: the `evaluate` folders behind it.
        folder: where the files go; it exists.
    """
    colors = defense_colors(summary, tradeoffs)
    coverage = read_coverage(evaluated)
    posteriors = read_posteriors(evaluated)
    certificates = read_certificates(evaluated)
    predictions = read_predictions(evaluated)
    written = []
    for task, rows in summary.groupby("task", sort=False):
        written.append(_save(curves_figure(rows, colors), folder / f"curves_{task}.png"))
        levels = coverage[coverage["task"] == task]
        if not levels.empty:
            figure = coverage_figure(levels, rows, colors)
            written.append(_save(figure, folder / f"coverage_{task}.png"))
        if levels["tarp"].notna().any():
            figure = coverage_figure(levels, rows, colors, "tarp")
            written.append(_save(figure, folder / f"tarp_{task}.png"))
        observed = [one for one in posteriors if one.task == task]
        if observed:
            written += _write_observed(observed, colors, folder, str(task))
            table = folder / f"certified_{task}.csv"
            write(certificates[certificates["task"] == task], table)
            written.append(table)
        predicted = [one for one in predictions if one.task == task]
        if predicted:
            figure = predictive_figure(predicted, colors)
            written.append(_save(figure, folder / f"predictive_{task}.png"))
    several = chain(model_figures(summary, evaluated, colors), tradeoff_figures(tradeoffs))
    written += [_save(figure, folder / f"{stem}.png") for stem, figure in several]
    return written


def _write_observed(
    observed: list[ObservedPosterior], colors: dict[str, str], folder: Path, task: str
) -> list[Path]:
    table = folder / f"posterior_{task}.csv"
    write(moments(observed), table)
    draw: dict[str, Callable[[list[ObservedPosterior], dict[str, str]], Figure]]
    draw = {"posterior": posterior_figure, "observed": observed_figure}
    figures = [
        _save(function(of_first_observation(observed), colors), folder / f"{name}_{task}.png")
        for name, function in draw.items()
    ]
    return [*figures, table]


def _save(figure: Figure, path: Path) -> Path:
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    return path
