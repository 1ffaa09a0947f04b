"""Files as their authors published them: name, checksum, mirrors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from certibayes.explained import ExplainedError


class ChecksumError(ExplainedError, ValueError):
    """A file whose content is not the published one; the message names it and both checksums."""


class MissingFileError(ExplainedError, FileNotFoundError):
    """A file that no folder holds and no mirror gave; the message names what was tried."""


@dataclass(frozen=True)
class PublishedFile:
    """One file as it is published.

    Attributes:
        path: its name below the folder of its data set, e.g. "train-images-idx3-ubyte.gz".
        md5: published checksum, 32 hexadecimal digits.
        urls: mirrors, in the order of asking; none for a file that is only found unpacked.
    """

    path: str
    md5: str
    urls: tuple[str, ...] = ()

    def require_md5(self, found: str, where: Path | str) -> None:
        """Compare a checksum with the published one.

        Raises:
            ChecksumError: if they differ.
        """
        if found != self.md5:
            raise ChecksumError(f"{where}: MD5 is {found}; allowed: {self.md5}, as published")

    def check(self, path: Path) -> None:
        """Compare a file with the published one.

        Raises:
            ChecksumError: if its content differs.
        """
        with path.open("rb") as stream:
            self.require_md5(hashlib.file_digest(stream, "md5").hexdigest(), path)


@dataclass(frozen=True)
class Content:
    """What one or more published files hold, e.g. a file packed and unpacked.

    Attributes:
        folders: where they may lie below a data root, e.g. ("mnist", "MNIST/raw"); the first is
            where downloads go.
        forms: the files, each with all of the content; the first found is taken.
    """

    folders: tuple[str, ...]
    forms: tuple[PublishedFile, ...]
