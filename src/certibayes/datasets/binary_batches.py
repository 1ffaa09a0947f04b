"""Image sets in batches of records: one label byte, then the bytes of the image."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from certibayes.datasets.files import Content
from certibayes.datasets.images import Images, Part
from certibayes.datasets.obtain import obtain
from certibayes.io import FileFormatError


@dataclass(frozen=True)
class Batch:
    """One file of records.

    Attributes:
        member: its name, also inside the archive.
        content: the file, or an archive (".tar.gz") of all batches.
    """

    member: str
    content: Content


@dataclass(frozen=True)
class BinaryBatches(Images):
    """Images in batches of equally many records.

    Attributes:
        name: name of the data set.
        pixels: bytes of one image.
        records: images of one batch.
        training: batches of the training part, in order.
        test: batches of the test part.
    """

    name: str
    pixels: int
    records: int
    training: tuple[Batch, ...]
    test: tuple[Batch, ...]

    @property
    def features(self) -> int:
        """Bytes per image."""
        return self.pixels

    def rows(self, part: Part) -> int:
        """Return how many images a part has."""
        return self.records * len(self._batches(part))

    def load(self, part: Part, rows: slice | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return labels, shape (n,), and pixels, shape (n, pixels); reads the batches needed."""
        span = self.span(part, rows)
        pieces = [np.empty((0, 1 + self.pixels), np.uint8)]
        for number, batch in enumerate(self._batches(part)):
            first = number * self.records
            start, stop = max(span.start - first, 0), min(span.stop - first, self.records)
            if start < stop:
                pieces.append(self._read(batch)[start:stop])
        table = np.concatenate(pieces)
        return table[:, 0], table[:, 1:]

    def _batches(self, part: Part) -> tuple[Batch, ...]:
        return self.training if part == "train" else self.test

    def _read(self, batch: Batch) -> np.ndarray:
        path, size = obtain(batch.content), self.records * (1 + self.pixels)
        content = _member(path, batch.member, size) if path.suffix == ".gz" else path.read_bytes()
        if len(content) != size:
            raise FileFormatError(f"{path}: {batch.member}: {len(content)} bytes; allowed: {size}")
        return np.frombuffer(content, np.uint8).reshape(self.records, 1 + self.pixels)


def _member(path: Path, name: str, size: int) -> bytes:
    """Return the start of one file in an archive, one byte more than expected at most."""
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.name == name else None
            if stream is not None:
                return stream.read(size + 1)
    raise FileFormatError(f"{path}: no {name} inside; allowed: an archive that holds it")
