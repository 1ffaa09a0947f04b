"""Image sets in two MATLAB files, one for training and one for test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.io import loadmat

from certibayes.datasets.files import Content
from certibayes.datasets.images import Images, Part
from certibayes.datasets.obtain import obtain
from certibayes.io import FileFormatError

CLASSES = 10


@dataclass(frozen=True)
class MatPart:
    """One part of such a set.

    Attributes:
        rows: images.
        content: the file with `X`, uint8 of shape (side, side, channels, rows), and `y`, of shape
            (rows, 1), in which 10 stands for the label 0.
    """

    rows: int
    content: Content


@dataclass(frozen=True)
class MatImages(Images):
    """Images of `channels` planes of `side` x `side` pixels.

    Attributes:
        name: name of the data set.
        side: pixels of one row and of one column.
        channels: planes of one image.
        training: the training part.
        test: the test part.
    """

    name: str
    side: int
    channels: int
    training: MatPart
    test: MatPart

    @property
    def features(self) -> int:
        """Numbers per image."""
        return self.channels * self.side**2

    def rows(self, part: Part) -> int:
        """Return how many images a part has."""
        return self._part(part).rows

    def load(self, part: Part, rows: slice | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return labels, shape (n,), and pixels, shape (n, features), plane after plane."""
        span, file = self.span(part, rows), self._part(part)
        path = obtain(file.content)
        stored = loadmat(path, variable_names=("X", "y"))
        shape = (self.side, self.side, self.channels, file.rows)
        wanted = {"X": shape, "y": (file.rows, 1)}
        for name, allowed in wanted.items():
            found = stored[name].shape if name in stored else "none"
            if found != allowed:
                raise FileFormatError(f"{path}: {name} of shape {found}; allowed: {allowed}")
        chosen = slice(span.start, span.stop)
        pixels = stored["X"][..., chosen].transpose(3, 2, 0, 1).reshape(len(span), self.features)
        return (stored["y"][chosen, 0] % CLASSES).astype(np.uint8), pixels

    def _part(self, part: Part) -> MatPart:
        return self.training if part == "train" else self.test
