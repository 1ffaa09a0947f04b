"""MNIST (LeCun, Cortes, Burges, 1998) and Fashion-MNIST (Xiao, Rasul, Vollgraf, 2017)."""

from __future__ import annotations

from typing import NamedTuple

from certibayes.datasets.files import Content, PublishedFile
from certibayes.datasets.idx_images import IdxImages, IdxPart

TRAINING_IMAGES = 60_000
TEST_IMAGES = 10_000
SIDE = 28


class _Checksums(NamedTuple):
    """MD5 of one file, packed as published and unpacked."""

    packed: str
    unpacked: str


def _images(
    name: str, folders: tuple[str, ...], mirrors: tuple[str, ...], files: dict[str, _Checksums]
) -> IdxImages:
    def content(file: str) -> Content:
        md5 = files[file]
        urls = tuple(f"{mirror}/{file}.gz" for mirror in mirrors)
        packed = PublishedFile(f"{file}.gz", md5.packed, urls)
        return Content(folders, (packed, PublishedFile(file, md5.unpacked)))

    def part(prefix: str, rows: int) -> IdxPart:
        images, labels = f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"
        return IdxPart(rows, content(images), content(labels))

    return IdxImages(name, SIDE, part("train", TRAINING_IMAGES), part("t10k", TEST_IMAGES))


MNIST = _images(
    "mnist",
    ("mnist", "MNIST/raw"),
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "http://yann.lecun.com/exdb/mnist",
    ),
    {
        "train-images-idx3-ubyte": _Checksums(
            "f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"
        ),
        "train-labels-idx1-ubyte": _Checksums(
            "d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"
        ),
        "t10k-images-idx3-ubyte": _Checksums(
            "9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"
        ),
        "t10k-labels-idx1-ubyte": _Checksums(
            "ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"
        ),
    },
)
"""Handwritten digits, 60,000 for training and 10,000 for test."""

FASHION_MNIST = _images(
    "fashion_mnist",
    ("fashion_mnist", "FashionMNIST/raw"),
    ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",),
    {
        "train-images-idx3-ubyte": _Checksums(
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "f4a8712d7a061bf5bd6d2ca38dc4d50a"
        ),
        "train-labels-idx1-ubyte": _Checksums(
            "25c81989df183df01b3e8a0aad5dffbe", "9018921c3c673c538a1fc5bad174d6f9"
        ),
        "t10k-images-idx3-ubyte": _Checksums(
            "bef4ecab320f06d8554ea6380940ec79", "8181f5470baa50b63fa0f6fddb340f0a"
        ),
        "t10k-labels-idx1-ubyte": _Checksums(
            "bb300cfdad3c16e7a12a480ee83cd310", "15d484375f8d13e6eb1aabb0c3f46965"
        ),
    },
)
"""Articles of clothing of Zalando, 60,000 for training and 10,000 for test."""
