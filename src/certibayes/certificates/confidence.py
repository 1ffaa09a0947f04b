"""One confidence for several statements at once."""

from __future__ import annotations

import math


def split_confidence(confidence: float, statements: int) -> float:
    """Return the confidence of each of k statements that all hold together with the one given.

    1 - (1 - confidence) / k (union bound; Bonferroni, 1936), rounded up.

    Args:
        confidence: in (0, 1).
        statements: k.

    Raises:
        ValueError: if k < 1 or a share of 1 - confidence is below what float64 can tell from 0.
    """
    if statements < 1:
        raise ValueError(f"statements: got {statements}; allowed: at least 1")
    if statements == 1:
        return confidence
    each = math.nextafter(1 - (1 - confidence) / statements, 1.0)
    if each >= 1:
        raise ValueError(f"confidence: got {confidence} split over {statements}; allowed: less")
    return each
