"""Colors and labels that all figures share."""

from __future__ import annotations

from collections.abc import Iterable
from colorsys import hsv_to_rgb

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex, to_rgb

PALETTE = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Distinguishable with color-vision deficiency (Okabe and Ito, 2008)."""
CLEAN = "#555555"
WIDEST = 24.0
"""Inches that no figure exceeds: what does not fit side by side goes into further rows."""
_GOLDEN = 0.618034
_LIGHTEST, _DARKEST = 0.5, -0.5


def curve_colors(curves: Iterable[str]) -> dict[str, str]:
    """Return one color per curve; "none" alone has the first of `PALETTE`, no color repeats.

    Beyond the palette hues follow the golden ratio, in three degrees of brightness.
    """
    names = sorted(set(curves) - {"none"})
    more = (
        to_hex(hsv_to_rgb(i * _GOLDEN % 1, 0.75, (0.85, 0.45, 0.65)[i % 3]))
        for i in range(len(names))
    )
    free = [*PALETTE[1:], *more]
    return {"none": PALETTE[0]} | dict(zip(names, free, strict=False))


def defense_colors(summary: pd.DataFrame, tradeoffs: pd.DataFrame | None = None) -> dict[str, str]:
    """Return one color per defense, the same in every figure; "none" always has the first.

    Defenses of one sweep are shades of one color, from light to dark in the order of the values.

    Args:
        summary: as `summary.collect` returns it.
        tradeoffs: as `tradeoff.tradeoff` returns it; without it, every defense is its own curve.
    """
    names = sorted(set(summary["defense"]), key=lambda name: (name != "none", name))
    curves = dict(zip(names, names, strict=True))
    if tradeoffs is not None:
        points = tradeoffs.drop_duplicates("defense").dropna(subset="curve")
        points = points[points["defense"].isin(names)]
        ordered = dict(zip(points["defense"], points["curve"], strict=True))
        curves = ordered | {name: name for name in names if name not in ordered}
    base = curve_colors(curves.values())
    colors: dict[str, str] = {}
    for curve in dict.fromkeys(curves.values()):
        members = [name for name in curves if curves[name] == curve]
        amounts = np.linspace(_LIGHTEST, _DARKEST, len(members)) if len(members) > 1 else [0.0]
        colors |= {
            name: shade(base[curve], float(amount))
            for name, amount in zip(members, amounts, strict=True)
        }
    order = sorted(colors, key=lambda name: name != "none")
    return {name: colors[name] for name in order}


def shade(color: str, amount: float) -> str:
    """Return a color mixed with white (`amount` in (0, 1]) or with black ([-1, 0)); 0: itself."""
    goal = 1.0 if amount > 0 else 0.0
    red, green, blue = (part + abs(amount) * (goal - part) for part in to_rgb(color))
    return color if amount == 0 else to_hex((red, green, blue))


def defense_label(defense: str) -> str:
    """Return how a figure names a defense."""
    return "standard (no defense)" if defense == "none" else defense


def ball_label(norm: object, unit: object, clip: object = None, mask: object = None) -> str:
    """Return norm and unit, and what else restricts x': the clip range and the features.

    Args:
        norm: as in the summary, like all others.
        unit: of the radius.
        clip: range of x'; not named where it is empty.
        mask: features that may move; not named where it is empty.
    """
    parts = [str(norm), str(unit)]
    parts += [f"clip {clip}"] if isinstance(clip, str) else []
    parts += [f"features {mask}"] if isinstance(mask, str) else []
    return ", ".join(parts)


def epsilon_label(norm: object, unit: object, clip: object = None, mask: object = None) -> str:
    """Return an axis label with norm, unit, clip and mask; see `ball_label`."""
    return f"epsilon ({ball_label(norm, unit, clip, mask)})"


def columns_within(count: int, first: float, each: float) -> int:
    """Return how many of `count` panels go side by side in a figure of at most `WIDEST` inches.

    Args:
        count: panels, at least 1.
        first: inches beside the panels.
        each: inches per panel.
    """
    return max(1, min(count, int((WIDEST - first) / each)))
