"""Where the files of data sets are looked for."""

from __future__ import annotations

import os
from pathlib import Path

ROOT_VARIABLE = "CERTIBAYES_DATA"


def data_root() -> Path | None:
    """Return the user's folder of data sets, $CERTIBAYES_DATA, or None if it is not set.

    Raises:
        NotADirectoryError: if it is set to something that is no folder.
    """
    named = os.environ.get(ROOT_VARIABLE)
    if not named:
        return None
    root = Path(named)
    if not root.is_dir():
        raise NotADirectoryError(f"{ROOT_VARIABLE}: got {named!r}; allowed: an existing folder")
    return root


def download_root() -> Path:
    """Return the user's cache, where downloads go: $XDG_CACHE_HOME (~/.cache) / certibayes."""
    named = os.environ.get("XDG_CACHE_HOME")
    return (Path(named) if named else Path.home() / ".cache") / "certibayes"
