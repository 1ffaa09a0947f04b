"""Street View House Numbers, cropped digits (Netzer et al., 2011)."""

from __future__ import annotations

from certibayes.datasets.files import Content, PublishedFile
from certibayes.datasets.mat_images import MatImages, MatPart

MIRROR = "http://ufldl.stanford.edu/housenumbers"


def _part(name: str, rows: int, md5: str) -> MatPart:
    file = PublishedFile(name, md5, (f"{MIRROR}/{name}",))
    return MatPart(rows, Content(("svhn", "SVHN", "."), (file,)))


SVHN = MatImages(
    "svhn",
    side=32,
    channels=3,
    training=_part("train_32x32.mat", 73_257, "e26dedcc434d2e4c54c9b2d4a06d8373"),
    test=_part("test_32x32.mat", 26_032, "eb5a983be6a315427106f1b164d9cef3"),
)
"""Photographed digits, 73,257 for training and 26,032 for test."""
