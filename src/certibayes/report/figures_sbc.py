"""Rank histograms of simulation-based calibration (Talts et al., 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.stats import binom

from certibayes.columns import MODEL_KEYS
from certibayes.report.figures_parameters import BALL, strongest_attack
from certibayes.report.figures_style import CLEAN, ball_label, defense_label
from certibayes.report.summary import read_metrics

BINS = 10
"""Bins that a histogram has about: a divisor of the number of ranks, where one is near."""
_FEWEST_BINS, _MOST_BINS = 5, 20
MOST_PARAMETERS = 8
BAND = 0.99
"""Share of histogram bars of a calibrated posterior inside the gray band."""


@dataclass(frozen=True)
class Ranks:
    """Ranks of the true parameters of one model at every test observation.

    Attributes:
        keys: task, budget, model, defense and seed.
        parameters: names, one per column of the ranks.
        draws: ranks lie in 0, ..., draws.
        ranks: by `evaluate` folders' key, "clean" or "attack/<name>/<epsilon>", each of shape
            (observations, parameters).
    """

    keys: dict[str, object]
    parameters: tuple[str, ...]
    draws: int
    ranks: dict[str, np.ndarray]


def read_ranks(folders: Sequence[Path]) -> list[Ranks]:
    """Return the ranks of every posterior; classifiers have none."""
    found = []
    for folder in folders:
        with np.load(folder / "items.npz", allow_pickle=False) as file:
            keys = [key for key in file.files if key.endswith("/sbc_ranks")]
            if not keys:
                continue
            ranks = {key.removesuffix("/sbc_ranks"): file[key] for key in keys}
            draws = int(file["clean/sbc_draws"])
        first = read_metrics(folder).iloc[0]
        table = pd.read_csv(folder / "parameters.csv")
        names = tuple(dict.fromkeys(table["parameter"].astype(str)))
        found.append(Ranks({key: first[key] for key in MODEL_KEYS}, names, draws, ranks))
    return found


def sbc_figure(ranks: Sequence[Ranks], summary: pd.DataFrame, colors: dict[str, str]) -> Figure:
    """Draw one task, budget, model and seed: a row per defense, a column per parameter.

    Bars are counts over their expectation. Flat is calibrated; a hump is too wide a posterior, a
    valley too narrow a one, a slope a bias.
    Gray: clean observations; a line in the color of the defense: under the strongest attack. Of
    more than `MOST_PARAMETERS` parameters those farthest from flat are drawn.

    Args:
        ranks: of one task, budget, model and seed.
        summary: rows of the same task, budget and model.
        colors: color per defense.
    """
    ordered = sorted(ranks, key=lambda one: list(colors).index(str(one.keys["defense"])))
    columns = _chosen(ordered)
    attack = strongest_attack(summary)
    key = None if attack is None else f"attack/{attack['method']}/{float(attack['epsilon'])!r}"
    size = (max(1.2 + 1.35 * len(columns), 7.0), 1.6 + 1.25 * len(ordered))
    figure = Figure(size, layout="constrained")
    axes = figure.subplots(len(ordered), len(columns), sharex=True, squeeze=False)
    for row, one in enumerate(ordered):
        color = colors[str(one.keys["defense"])]
        for axis, column in zip(axes[row], columns, strict=True):
            _panel(axis, one, column, key, color)
            if row == 0:
                axis.set_title(one.parameters[column], fontsize=9)
        label = defense_label(str(one.keys["defense"])).replace(" (", "\n(")
        axes[row, 0].set_ylabel(label, fontsize=8, color=color)
    first = ordered[0]
    shown = f", {len(columns)} of {len(first.parameters)} parameters, the least flat"
    figure.suptitle(
        f"{first.keys['task']}, {first.keys['model']}, n = {first.keys['budget']}, seed "
        f"{first.keys['seed']}: ranks of the true parameters (flat = calibrated)"
        + (shown if len(columns) < len(first.parameters) else ""),
        fontsize=10,
        wrap=True,
    )
    handles: list[Patch | Line2D] = [
        Patch(color=CLEAN, alpha=0.45, lw=0, label="clean"),
        Patch(color="black", alpha=0.12, lw=0, label=f"{100 * BAND:.0f} % of bars if calibrated"),
    ]
    if attack is not None:
        about = f"{attack['method']}, epsilon {attack['epsilon']:g}"
        label = f"under {about} ({ball_label(*attack[list(BALL)])})"
        handles.append(Line2D([], [], color="black", lw=1.2, label=label))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def _panel(axis: Axes, one: Ranks, column: int, attack: str | None, color: str) -> None:
    clean = _heights(one.ranks["clean"][:, column], one.draws)
    expected = _expected(one.draws)
    edges = np.linspace(0, 1, len(expected) + 1)
    count = len(one.ranks["clean"])
    low, high = (
        binom.ppf((1 + sign * BAND) / 2, count, expected) / (count * expected) for sign in (-1, 1)
    )
    axis.stairs(high, edges, baseline=low, fill=True, color="black", alpha=0.12, lw=0)
    axis.stairs(clean, edges, fill=True, color=CLEAN, alpha=0.45)
    if attack is not None and attack in one.ranks:
        heights = _heights(one.ranks[attack][:, column], one.draws)
        axis.stairs(heights, edges, color=color, linewidth=1.2)
    axis.set_xticks([0, 1], ["0", "1"])
    axis.set_yticks([])
    axis.set_ylim(0, 1.1 * axis.dataLim.ymax)
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)


def bins(draws: int) -> int:
    """Return the divisor of draws + 1 that is closest to `BINS`, the larger of two.

    Where none lies in 5, ..., 20 (draws + 1 may be prime) it is `BINS`.
    """
    near = [n for n in range(_FEWEST_BINS, _MOST_BINS + 1) if (draws + 1) % n == 0]
    return min(near, key=lambda n: (abs(n - BINS), -n), default=BINS)


def _expected(draws: int) -> np.ndarray:
    """Return the share of uniform ranks in every bin of (rank + 1/2) / (draws + 1)."""
    return _counts(np.arange(draws + 1), draws) / (draws + 1)


def _heights(ranks: np.ndarray, draws: int) -> np.ndarray:
    """Return the share of ranks per bin over its expectation: 1 for every calibrated bar."""
    return _counts(ranks, draws) / max(len(ranks), 1) / _expected(draws)


def _counts(ranks: np.ndarray, draws: int) -> np.ndarray:
    counts, _ = np.histogram((ranks + 0.5) / (draws + 1), bins=bins(draws), range=(0, 1))
    return counts


def _chosen(ranks: Sequence[Ranks]) -> list[int]:
    """Return the columns of the parameters whose clean ranks are farthest from flat, in order."""
    count = len(ranks[0].parameters)
    distance = [
        max(
            float(np.abs(_heights(one.ranks["clean"][:, column], one.draws) - 1).mean())
            for one in ranks
        )
        for column in range(count)
    ]
    return sorted(sorted(range(count), key=lambda column: -distance[column])[:MOST_PARAMETERS])
