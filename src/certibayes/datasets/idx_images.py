"""Image sets in four IDX files: images and labels, each for training and for test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from certibayes.datasets.files import Content
from certibayes.datasets.idx import read_idx
from certibayes.datasets.images import Images, Part
from certibayes.datasets.obtain import obtain


@dataclass(frozen=True)
class IdxPart:
    """One part of such a set.

    Attributes:
        rows: images.
        images: the IDX file of the images, packed or not.
        labels: the IDX file of the labels, packed or not.
    """

    rows: int
    images: Content
    labels: Content


@dataclass(frozen=True)
class IdxImages(Images):
    """Gray images of `side` x `side` pixels.

    Attributes:
        name: name of the data set.
        side: pixels of one row and of one column.
        training: the training part.
        test: the test part.
    """

    name: str
    side: int
    training: IdxPart
    test: IdxPart

    @property
    def features(self) -> int:
        """Pixels per image."""
        return self.side**2

    def rows(self, part: Part) -> int:
        """Return how many images a part has."""
        return self._part(part).rows

    def load(self, part: Part, rows: slice | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return labels, shape (n,), and pixels, shape (n, side * side), both uint8."""
        span, files = self.span(part, rows), self._part(part)
        labels = read_idx(obtain(files.labels), (files.rows,))
        images = read_idx(obtain(files.images), (files.rows, self.side, self.side))
        chosen = slice(span.start, span.stop)
        return labels[chosen], images[chosen].reshape(len(span), self.features)

    def _part(self, part: Part) -> IdxPart:
        return self.training if part == "train" else self.test
