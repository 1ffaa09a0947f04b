"""Labelled images as a classification task, pixels in [0, 1]."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from certibayes.datasets.images import Images, Part
from certibayes.tasks.base import ClassificationTask

WHITE = 255


class ImageData(ClassificationTask):
    """A set of labelled images, bytes divided by 255; only the rows asked for become floats.

    Attributes:
        images: the data set.
    """

    images: ClassVar[Images]
    classes = 10
    clip = (0.0, 1.0)

    def training_set(self, rows: slice | None = None) -> tuple[Tensor, Tensor]:
        """Return labels y, shape (n,), int64, and pixels x, shape (n, x_dim), float64."""
        return self._load("train", rows)

    def test_set(self, rows: slice | None = None) -> tuple[Tensor, Tensor]:
        """Return labels y and pixels x of the test part, as `training_set`."""
        return self._load("test", rows)

    def _load(self, part: Part, rows: slice | None) -> tuple[Tensor, Tensor]:
        labels, pixels = self.images.load(part, rows)
        return torch.tensor(labels).long(), torch.tensor(pixels).double() / WHITE
