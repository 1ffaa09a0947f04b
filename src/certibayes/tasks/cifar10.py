"""CIFAR-10 as a task."""

from __future__ import annotations

from certibayes.datasets import cifar10
from certibayes.tasks.image_data import ImageData


class CIFAR10(ImageData):
    """Photographs of ten kinds of object, 3 x 32 x 32 (Krizhevsky, 2009).

    50,000 images for training, 10,000 for test, in the order of the published batches; the red,
    the green and the blue plane one after the other, each row by row.
    """

    images = cifar10.CIFAR10
    x_dim = 3072
