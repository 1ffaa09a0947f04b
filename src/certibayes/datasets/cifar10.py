"""CIFAR-10, binary version (Krizhevsky, 2009): red, green, blue planes of 32 x 32 pixels."""

from __future__ import annotations

from certibayes.datasets.binary_batches import Batch, BinaryBatches
from certibayes.datasets.files import Content, PublishedFile

PIXELS = 3 * 32 * 32
RECORDS = 10_000
ARCHIVE = PublishedFile(
    "cifar-10-binary.tar.gz",
    "c32a1d4ab5d03f1284b67883e8d87530",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
)


def _batch(name: str, md5: str) -> Batch:
    member = f"cifar-10-batches-bin/{name}.bin"
    return Batch(member, Content(("cifar10", "."), (PublishedFile(member, md5), ARCHIVE)))


CIFAR10 = BinaryBatches(
    "cifar10",
    PIXELS,
    RECORDS,
    training=(
        _batch("data_batch_1", "5dd7e06a14cb22eb9f671a540d1b7c25"),
        _batch("data_batch_2", "5ea93a67294ea407fff1d09f752e9692"),
        _batch("data_batch_3", "942cd6a4bcdd0dd3c604fbe906cb4421"),
        _batch("data_batch_4", "ae636b3ba5c66a11e91e8cb52e771fcb"),
        _batch("data_batch_5", "53f37980c15c3d472c316c40844f3f0d"),
    ),
    test=(_batch("test_batch", "803d5f7f4d78ea53de84dbe85f74fb6d"),),
)
"""Photographs of ten kinds of object, 50,000 for training and 10,000 for test."""
