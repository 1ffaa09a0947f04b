"""MNIST as a task."""

from __future__ import annotations

from certibayes.datasets import mnist
from certibayes.tasks.image_data import ImageData


class MNIST(ImageData):
    """Handwritten digits of 28 x 28 pixels (LeCun, Cortes and Burges, 1998).

    60,000 images for training, 10,000 for test, in the order of the published files.
    """

    images = mnist.MNIST
    x_dim = 784
