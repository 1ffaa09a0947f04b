"""Time series that a task predicts, or that were recorded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Traces:
    """Series over one time axis.

    Attributes:
        times: ascending, shape (points,), float64.
        values: shape (n, series, points), float64.
        time_label: quantity and unit of `times`, e.g. "time (ms)".
        series_labels: quantity and unit of each series.
    """

    times: NDArray[np.float64]
    values: NDArray[np.float64]
    time_label: str
    series_labels: tuple[str, ...]

    def thinned(self, points: int) -> Traces:
        """Return at most `points` points with every peak kept, for drawing.

        Each of points / 2 equal intervals is replaced by its smallest and largest value, in the
        order in which they occur, at its first and middle time.

        Args:
            points: even, at least 2.
        """
        if len(self.times) <= points:
            return self
        width = -(-2 * len(self.times) // points)
        starts = np.arange(0, len(self.times), width)
        padding = len(starts) * width - len(self.times)
        padded = np.pad(self.values, ((0, 0), (0, 0), (0, padding)), "edge")
        blocks = padded.reshape(*self.values.shape[:2], len(starts), width)
        places = np.stack((blocks.argmin(-1), blocks.argmax(-1)), -1)
        places.sort(-1)
        values = np.take_along_axis(blocks, places, -1).reshape(*self.values.shape[:2], -1)
        middles = np.minimum(starts + width // 2, len(self.times) - 1)
        times = self.times[np.stack((starts, middles), 1).ravel()]
        return Traces(times, values, self.time_label, self.series_labels)
