"""The IDX format: a magic number, dimensions, bytes in row-major order (LeCun et al., 1998)."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from certibayes.io import FileFormatError

UNSIGNED_BYTE = 8
WORD = 4


def read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Return the array of an IDX file of unsigned bytes, packed by gzip (".gz") or not.

    Args:
        path: the file.
        shape: what its header has to say; more is never unpacked.

    Raises:
        FileFormatError: if it is no such file, has another shape, or is cut or too long.
    """
    size = WORD * (1 + len(shape)) + math.prod(shape)
    with path.open("rb") as raw:
        try:
            stream = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
            content = stream.read(size + 1)
        except (EOFError, OSError, zlib.error) as error:
            raise FileFormatError(f"{path}: not a gzip file: {error}") from None
    words = np.frombuffer(content[: WORD * (1 + len(shape))], ">u4").tolist()
    magic = UNSIGNED_BYTE << 8 | len(shape)
    if words != [magic, *shape]:
        raise FileFormatError(
            f"{path}: header is {words}; allowed: {[magic, *shape]} (magic number, dimensions)"
        )
    if len(content) != size:
        found = "more" if len(content) > size else str(len(content))
        raise FileFormatError(f"{path}: holds {found} bytes; allowed: {size}")
    return np.frombuffer(content, np.uint8, offset=WORD * (1 + len(shape))).reshape(shape)
