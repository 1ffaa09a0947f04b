"""The 8x8 images of handwritten digits that ship with scikit-learn."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from certibayes.tasks.base import ClassificationTask

TEST_IMAGES = 500


class Digits(ClassificationTask):
    """1,797 images of 64 pixels in [0, 1], ten classes; training: the first 1,297, in file order.

    The last 500 images are the test set. Source: the optical recognition test data of Alpaydin and
    Kaynak (1998), with counts 0..16 per pixel divided by 16.
    """

    x_dim = 64
    classes = 10
    clip = (0.0, 1.0)

    def training_set(self, rows: slice | None = None) -> tuple[Tensor, Tensor]:
        """Return labels y, shape (1297,), int64, and pixels x, shape (1297, 64), float64."""
        y, x = _load()
        chosen = rows or slice(None)
        return y[:-TEST_IMAGES][chosen], x[:-TEST_IMAGES][chosen]

    def test_set(self, rows: slice | None = None) -> tuple[Tensor, Tensor]:
        """Return labels y, shape (500,), int64, and pixels x, shape (500, 64), float64."""
        y, x = _load()
        chosen = rows or slice(None)
        return y[-TEST_IMAGES:][chosen], x[-TEST_IMAGES:][chosen]


def _load() -> tuple[Tensor, Tensor]:
    pixels, labels = load_digits(return_X_y=True)
    return torch.as_tensor(labels).long(), torch.as_tensor(pixels).double() / 16
