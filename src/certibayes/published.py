"""What of a study stands in the model registry, as the last registration wrote it down."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from certibayes.io import MANIFEST, read_json, write_json
from certibayes.layout import Layout


@dataclass(frozen=True)
class Published:
    """Versions in one registry; kept in the study's state folder, where no rule reads it.

    Attributes:
        registry: address, experiment and parent run: a database made anew has other ones.
        done: the models.json, and what else decides, that the registry was brought to without
            leaving anything out; None = something is missing.
        versions: of every model's folder: `name`, `version` and the `sha256` of its weights.
    """

    registry: dict[str, str] = field(default_factory=dict)
    done: dict[str, Any] | None = None
    versions: dict[str, dict[str, str]] = field(default_factory=dict)

    @staticmethod
    def read(layout: Layout) -> Published:
        """Return what was written last; nothing published if there is no such file.

        Raises:
            FileFormatError: if it is malformed.
        """
        path = _file(layout)
        content: dict[str, Any] = read_json(path) if path.is_file() else {}
        return Published(
            content.get("registry", {}), content.get("done"), content.get("versions", {})
        )

    def write(self, layout: Layout) -> None:
        """Store it."""
        write_json(_file(layout), asdict(self))


def _file(layout: Layout) -> Path:
    return layout.state / "published.json"


def published_version(layout: Layout, path: Path) -> str | None:
    """Return "<name> version <number>" of the model whose folder holds a path.

    None if it was never registered, or if its weights are no longer those of the version.
    """
    for folder, found in Published.read(layout).versions.items():
        place = layout.root.resolve() / folder
        if path.is_relative_to(place):
            manifest = place / "model" / MANIFEST
            same = manifest.is_file() and read_json(manifest)["sha256"] == found.get("sha256")
            return f"{found['name']} version {found['version']}" if same else None
    return None
