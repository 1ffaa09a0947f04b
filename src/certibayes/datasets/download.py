"""Fetch one published file from one mirror; a file that is not the published one is not kept."""

from __future__ import annotations

import hashlib
import http.client
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from certibayes.datasets.files import ChecksumError, PublishedFile
from certibayes.writing import atomic, remove_partial

TIMEOUT_SECONDS = 30.0
CHUNK = 1 << 20


def download(file: PublishedFile, url: str, target: Path) -> str | None:
    """Fetch a file; return None, or what went wrong, in which case nothing is kept.

    The file lies under a temporary name beside `target` until length and checksum are right, and
    is then renamed. Only http and https are followed.

    Args:
        file: what is expected.
        url: where to ask.
        target: where to put it.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        return f"{url}: allowed: http, https"
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_partial(target.parent)
    try:
        with atomic(target) as temporary:
            _fetch(file, url, temporary)
    except ChecksumError as error:
        return str(error)
    except (OSError, http.client.HTTPException) as error:
        return f"{url}: {error or type(error).__name__}"
    return None


def _fetch(file: PublishedFile, url: str, path: Path) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    received = 0
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response, path.open("wb") as out:
        stated = response.headers.get("Content-Length")
        while chunk := response.read(CHUNK):
            out.write(chunk)
            digest.update(chunk)
            received += len(chunk)
    if stated is not None and received != int(stated):
        raise ConnectionError(f"got {received} of {stated} bytes")
    file.require_md5(digest.hexdigest(), url)
