"""Colors and labels that all figures share."""

from __future__ import annotations

import pandas as pd

PALETTE = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Distinguishable with color-vision deficiency (Okabe and Ito, 2008)."""
CLEAN = "#555555"


def defense_colors(summary: pd.DataFrame) -> dict[str, str]:
    """Return one color per defense, the same in every figure; "none" always has the first."""
    names = sorted(set(summary["defense"]), key=lambda name: (name != "none", name))
    offset = 0 if "none" in names else 1
    return {name: PALETTE[(i + offset) % len(PALETTE)] for i, name in enumerate(names)}


def defense_label(defense: str) -> str:
    """Return how a figure names a defense."""
    return "standard (no defense)" if defense == "none" else defense


def epsilon_label(norm: str, unit: str) -> str:
    """Return an axis label with norm and unit."""
    return f"epsilon ({norm}, {unit})"
