"""Find the content of a data set: in the data root, among earlier downloads, at the mirrors."""

from __future__ import annotations

import logging
from pathlib import Path

from certibayes.datasets.download import download
from certibayes.datasets.files import ChecksumError, Content, MissingFileError, PublishedFile
from certibayes.datasets.roots import ROOT_VARIABLE, data_root, download_root
from certibayes.flock import locked

log = logging.getLogger(__name__)
DOWNLOAD_SECONDS = 1800.0


def obtain(content: Content) -> Path:
    """Return the path of a file with this content, equal to the published one.

    Looked for in the data root, then among earlier downloads, then at the mirrors. A wrong file in
    the data root is the user's: it is refused and left alone. A wrong file among the downloads is
    removed and fetched again.

    Raises:
        ChecksumError: if the data root holds a file of that name with another content.
        MissingFileError: if no folder holds the file and no mirror gave it.
        NotADirectoryError: if the data root is set and does not exist.
    """
    root = data_root()
    found = None if root is None else _first(content, root)
    if found is not None:
        path, file = found
        file.check(path)
        return path
    cache = download_root()
    with locked(cache / "lock", DOWNLOAD_SECONDS, "a download"):
        downloaded = _downloaded(content, cache)
        return downloaded or _from_mirrors(content, cache, root)


def _first(content: Content, root: Path) -> tuple[Path, PublishedFile] | None:
    for folder in content.folders:
        for file in content.forms:
            path = root / folder / file.path
            if path.is_file():
                return path, file
    return None


def _downloaded(content: Content, cache: Path) -> Path | None:
    found = _first(content, cache)
    if found is None:
        return None
    path, file = found
    try:
        file.check(path)
    except ChecksumError as error:
        log.warning("removed a damaged download: %s", error)
        path.unlink()
        return None
    return path


def _from_mirrors(content: Content, cache: Path, root: Path | None) -> Path:
    tried: list[str] = []
    for file in content.forms:
        for url in file.urls:
            target = cache / content.folders[0] / file.path
            failure = download(file, url, target)
            if failure is None:
                log.info("downloaded %s from %s", target, url)
                return target
            tried.append(failure)
    raise MissingFileError(_missing(content, root, cache, tried))


def _missing(content: Content, root: Path | None, cache: Path, tried: list[str]) -> str:
    names = " or ".join(file.path for file in content.forms)
    folders = [str(base / folder) for base in (root, cache) if base for folder in content.folders]
    hint = "" if root else f" ({ROOT_VARIABLE} is not set)"
    expected = ", ".join(f"{file.path} with MD5 {file.md5}" for file in content.forms)
    return (
        f"{names}: not in {', '.join(folders)}{hint}, and no mirror gave it:\n  "
        + "\n  ".join(tried or ["no mirror is known"])
        + f"\nallowed in one of these folders: {expected}"
    )
