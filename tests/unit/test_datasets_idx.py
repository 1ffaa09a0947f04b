import gzip
import struct

import numpy as np
import pytest

from certibayes.datasets.idx import read_idx
from certibayes.io import FileFormatError

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def idx(array, magic=0x0803, shape=None):
    return struct.pack(">4I", magic, *(shape or array.shape)) + array.tobytes()


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_idx_file_is_read_packed_or_not(tmp_path, suffix):
    path = tmp_path / f"images{suffix}"
    path.write_bytes(gzip.compress(idx(IMAGES)) if suffix else idx(IMAGES))
    read = read_idx(path, (2, 3, 4))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, IMAGES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(IMAGES, magic=0x0801), "header is .2049, 2, 3, 4."),
        (idx(IMAGES, magic=0x0D03), "header is .3331, 2, 3, 4."),
        (idx(IMAGES, shape=(2, 4, 3)), r"allowed: .2051, 2, 3, 4."),
        (idx(IMAGES)[:-1], "holds 39 bytes; allowed: 40"),
        (idx(IMAGES) + b"x", "holds more bytes; allowed: 40"),
        (idx(IMAGES)[:8], "header is .2051, 2."),
        (b"", "header is "),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_what_is_no_such_idx_file_is_refused_by_name(tmp_path, suffix, content, message):
    path = tmp_path / f"images{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    with pytest.raises(FileFormatError, match=message) as caught:
        read_idx(path, (2, 3, 4))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"no gzip",
        gzip.compress(idx(IMAGES), mtime=0)[:-9],
        gzip.compress(idx(IMAGES), mtime=0)[:12],
    ],
    ids=["no gzip", "cut at the end", "cut at the head"],
)
def test_a_broken_gzip_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"images\.gz: not a gzip file: "):
        read_idx(path, (2, 3, 4))
