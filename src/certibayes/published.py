"""What of a study stands in the model registry, as the last registration wrote it down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from certibayes.io import read_json
from certibayes.layout import Layout


def published_file(layout: Layout) -> Path:
    """Return the file, in the study's state folder; no rule reads it."""
    return layout.state / "published.json"


def published(layout: Layout) -> dict[str, Any]:
    """Return for which registry and which models.json models were registered; empty for none."""
    path = published_file(layout)
    content: dict[str, Any] = read_json(path) if path.is_file() else {}
    content.pop("versions", None)
    return content


def published_version(layout: Layout, path: Path) -> str | None:
    """Return "<name> version <number>" of the model whose folder holds a path, if registered."""
    file = published_file(layout)
    if not file.is_file():
        return None
    for folder, found in read_json(file)["versions"].items():
        if path.is_relative_to(layout.root.resolve() / folder):
            return f"{found['name']} version {found['version']}"
    return None
