"""Loaders of the downloaded data sets on their published files."""

import gzip
import hashlib
import shutil
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from scipy.io import savemat

from certibayes.datasets.binary_batches import Batch, BinaryBatches
from certibayes.datasets.cifar10 import CIFAR10
from certibayes.datasets.files import ChecksumError, Content, PublishedFile
from certibayes.datasets.mat_images import MatImages, MatPart
from certibayes.datasets.mnist import FASHION_MNIST, MNIST
from certibayes.datasets.svhn import SVHN
from certibayes.io import FileFormatError


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty data root; nothing is downloaded, for no mirror can be reached."""
    monkeypatch.setenv("CERTIBAYES_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "certibayes.datasets.obtain.download", lambda file, url, target: f"{url}: not now"
    )
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def shared(data_root, root, monkeypatch):
    monkeypatch.setenv("CERTIBAYES_DATA", str(data_root))
    return data_root


@pytest.mark.parametrize(
    ("images", "folder", "mean", "first"),
    [
        (MNIST, "mnist", 33.3184, [5, 0, 4, 1, 9, 2, 1, 3]),
        (FASHION_MNIST, "fashion_mnist", 72.9404, [9, 0, 0, 3, 0, 2, 7, 2]),
    ],
)
def test_the_published_images_are_read_in_file_order(shared, images, folder, mean, first):
    labels, pixels = images.load("train")
    assert labels.shape == (60_000,)
    assert pixels.shape == (60_000, images.features) == (60_000, 784)
    assert labels.dtype == pixels.dtype == np.uint8
    assert labels[:8].tolist() == first
    assert np.bincount(labels, minlength=10).sum() == 60_000
    assert pixels.mean() == pytest.approx(mean, abs=1e-4)
    path = shared / folder / "t10k-images-idx3-ubyte.gz"
    raw = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=16).reshape(-1, 784)
    test_labels, test_pixels = images.load("test")
    np.testing.assert_array_equal(test_pixels, raw)
    assert set(test_labels.tolist()) == set(range(10))


def test_rows_are_a_part_of_all(shared):
    labels, pixels = MNIST.load("test")
    for rows in (slice(3, 7), slice(9_990, 20_000), slice(5), slice(10_000, 20_000)):
        some_labels, some_pixels = MNIST.load("test", rows)
        np.testing.assert_array_equal(some_labels, labels[rows])
        np.testing.assert_array_equal(some_pixels, pixels[rows])
    with pytest.raises(ValueError, match=r"rows: got slice.0, 10, 2.; allowed: consecutive rows"):
        MNIST.load("test", slice(0, 10, 2))


def test_unpacked_files_in_the_folders_of_other_libraries_are_found(data_root, root):
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        with gzip.open(data_root / "mnist" / f"{name}.gz") as packed:
            (folder / name).write_bytes(packed.read())
    labels, _ = MNIST.load("test", slice(5))
    assert labels.tolist() == [7, 2, 1, 0, 4]


@pytest.mark.parametrize("harm", [lambda c: c[:-100], lambda c: b"\0" + c[1:], lambda c: b""])
def test_a_wrong_file_of_the_users_is_refused_by_name_and_left_alone(data_root, root, harm):
    name = "t10k-labels-idx1-ubyte.gz"
    (root / "mnist").mkdir()
    content = harm((data_root / "mnist" / name).read_bytes())
    (root / "mnist" / name).write_bytes(content)
    with pytest.raises(ChecksumError, match=f"mnist/{name}: MD5 is .*; allowed: ec29112d"):
        MNIST.load("test")
    assert (root / "mnist" / name).read_bytes() == content


def test_the_binary_version_of_cifar10_is_the_official_one(cifar10_root, data_root, root):
    shutil.copytree(cifar10_root, root / "cifar10")
    labels, pixels = CIFAR10.load("test")
    stored = np.load(data_root / "cifar10" / "labels.npz")
    np.testing.assert_array_equal(labels, stored["y_test"])
    assert pixels.shape == (10_000, 3072)
    cat = pixels[0].reshape(3, 32, 32)[:, 0, 0]
    assert (stored["class_names"][labels[0]], cat.tolist()) == ("cat", [158, 112, 49])


def test_only_the_batches_of_the_rows_are_read(cifar10_root, root, monkeypatch):
    monkeypatch.setenv("CERTIBAYES_DATA", str(cifar10_root))
    labels, pixels = CIFAR10.load("train", slice(2_000, 2_003))
    assert labels.shape == (3,)
    assert pixels.shape == (3, 3072)
    with pytest.raises(FileNotFoundError, match=r"data_batch_2\.bin or cifar-10-binary\.tar\.gz"):
        CIFAR10.load("train", slice(9_999, 10_001))


def _archive(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            file = path.with_name("member")
            file.write_bytes(content)
            archive.add(file, name)
    return PublishedFile(path.name, _md5(path))


def _md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_batches_are_read_from_their_archive_in_order(root):
    table = np.random.default_rng(0).integers(0, 256, (6, 5), dtype=np.uint8)
    members = {"b/two.bin": table[3:].tobytes(), "b/one.bin": table[:3].tobytes()}
    archive = _archive(root / "all.tar.gz", members)
    batches = tuple(Batch(name, Content((".",), (archive,))) for name in sorted(members))
    images = BinaryBatches("tiny", 4, 3, training=batches, test=batches[:1])
    labels, pixels = images.load("train")
    np.testing.assert_array_equal(labels, table[:, 0])
    np.testing.assert_array_equal(pixels, table[:, 1:])
    np.testing.assert_array_equal(images.load("train", slice(2, 5))[1], table[2:5, 1:])


@pytest.mark.parametrize(
    ("content", "message"),
    [({"b/one.bin": b"123"}, "b/one.bin: 3 bytes; allowed: 15"), ({"other": b""}, "no b/one.bin")],
)
def test_an_archive_with_other_content_is_refused_by_name(root, content, message):
    archive = _archive(root / "all.tar.gz", content)
    batch = Batch("b/one.bin", Content((".",), (archive,)))
    with pytest.raises(FileFormatError, match=rf"all\.tar\.gz: {message}"):
        BinaryBatches("tiny", 4, 3, training=(batch,), test=()).load("train")


def _mat_images(root, rows=5, **stored):
    path = root / "images.mat"
    savemat(path, stored)
    part = MatPart(rows, Content((".",), (PublishedFile(path.name, _md5(path)),)))
    return MatImages("tiny", side=2, channels=3, training=part, test=part)


def test_images_of_a_matlab_file_come_plane_by_plane_and_ten_is_the_digit_zero(root):
    planes = np.random.default_rng(0).integers(0, 256, (5, 3, 2, 2), dtype=np.uint8)
    y = np.array([[1], [10], [9], [10], [2]], np.uint8)
    images = _mat_images(root, X=planes.transpose(2, 3, 1, 0), y=y)
    labels, pixels = images.load("train")
    assert labels.tolist() == [1, 0, 9, 0, 2]
    assert labels.dtype == pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, planes.reshape(5, 12))
    some_labels, some_pixels = images.load("test", slice(3, 9))
    np.testing.assert_array_equal(some_labels, labels[3:])
    np.testing.assert_array_equal(some_pixels, pixels[3:])


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"X": np.zeros((2, 2, 3, 5))}, r"y of shape none; allowed: \(5, 1\)"),
        (
            {"X": np.zeros((2, 2, 3, 4)), "y": np.zeros((4, 1))},
            r"X of shape \(2, 2, 3, 4\); allowed: \(2, 2, 3, 5\)",
        ),
    ],
)
def test_a_matlab_file_with_other_content_is_refused_by_name(root, stored, message):
    with pytest.raises(FileFormatError, match=rf"images\.mat: {message}"):
        _mat_images(root, **stored).load("train")


def test_svhn_has_ten_digits_in_three_planes(root):
    assert (SVHN.features, SVHN.rows("train"), SVHN.rows("test")) == (3_072, 73_257, 26_032)
    with pytest.raises(FileNotFoundError, match=r"(?s)test_32x32\.mat: not in .*housenumbers/test"):
        SVHN.load("test")


@pytest.mark.slow
def test_every_rebuilt_batch_of_cifar10_has_its_published_checksum(data_root, root):
    command = [sys.executable, str(data_root / "cifar10_to_binary.py"), str(root)]
    subprocess.run(command, check=True)
    labels, pixels = CIFAR10.load("train")
    assert pixels.shape == (50_000, 3072)
    assert np.bincount(labels).tolist() == [5_000] * 10
    assert np.bincount(CIFAR10.load("test")[0]).tolist() == [1_000] * 10
