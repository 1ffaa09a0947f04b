"""Fashion-MNIST as a task."""

from __future__ import annotations

from certibayes.datasets import mnist
from certibayes.tasks.image_data import ImageData


class FashionMNIST(ImageData):
    """Articles of clothing of 28 x 28 pixels (Xiao, Rasul and Vollgraf, 2017).

    60,000 images for training, 10,000 for test, in the order of the published files.
    """

    images = mnist.FASHION_MNIST
    x_dim = 784
