"""Certified bounds as text, rounded against the claim."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd


def bound_text(value: Any, up: bool) -> str:
    """Return a bound with three decimals, an upper one rounded up, a lower one down; "-" = none."""
    if pd.isna(value):
        return "-"
    if math.isinf(value):
        return f"{value}"
    rounding = math.ceil if up else math.floor
    return f"{rounding(round(1000 * value, 6)) / 1000:.3f}"
