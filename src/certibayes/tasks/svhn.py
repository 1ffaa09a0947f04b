"""Street View House Numbers as a task."""

from __future__ import annotations

from certibayes.datasets import svhn
from certibayes.tasks.image_data import ImageData


class SVHN(ImageData):
    """Photographed digits of house numbers, 3 x 32 x 32 (Netzer et al., 2011).

    73,257 images for training, 26,032 for test, in the order of the published files; the red, the
    green and the blue plane one after the other, each row by row.
    """

    images = svhn.SVHN
    x_dim = 3072
