"""Which points no other point dominates."""

from __future__ import annotations

import numpy as np


def non_dominated(points: np.ndarray) -> np.ndarray:
    """Return which points are Pareto-optimal; smaller is better on every axis.

    A point is dominated if another one is at least as good on all axes and better on one. Equal
    points do not dominate each other. A point with NaN takes no part.

    Args:
        points: shape (n, axes), infinities allowed.

    Returns:
        Shape (n,), bool.
    """
    known = ~np.isnan(points).any(axis=1)
    no_worse = (points[:, None] <= points[None]).all(axis=2)
    better = (points[:, None] < points[None]).any(axis=2)
    dominates = no_worse & better & known[:, None]
    return known & ~dominates.any(axis=0)
