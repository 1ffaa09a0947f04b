"""Addresses of models in a registry: models:/<name>@<alias> and models:/<name>/<version>."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

SCHEME = "models:/"
_PATTERN = re.compile(r"models:/([^@/]+)(?:@([A-Za-z][\w-]*)|/([1-9][0-9]*))")


@dataclass(frozen=True)
class ModelUri:
    """A name and which of its versions.

    Attributes:
        name: of the registered model.
        version: "@<alias>" or a number.
    """

    name: str
    version: str

    @staticmethod
    def parse(text: str) -> ModelUri:
        """Return the parts of an address.

        Raises:
            ValueError: if it is none.
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise ValueError(
                f"source: got {text!r}; allowed: a folder, models:/<name>@<alias> or "
                "models:/<name>/<version>"
            )
        name, alias, number = match.groups()
        return ModelUri(name, f"@{alias}" if alias else number)


def is_model_uri(source: str | Path) -> bool:
    """Return whether a source is meant as an address of a registry, well formed or not."""
    return isinstance(source, str) and source.startswith(SCHEME)
