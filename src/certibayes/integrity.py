"""Files against what the job that made them recorded of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from certibayes.io import REMEDY, FileFormatError, read_json

RUN = "run.json"


class ChangedFileError(FileFormatError):
    """A file that is not what its job left; the message names it and the record."""


def require_as_recorded(digests: Mapping[Path, str]) -> None:
    """Compare files with the digests that `run.json` beside them records, where it does.

    Args:
        digests: sha256 of the files as they are.

    Raises:
        ChangedFileError: if one is damaged or was changed by hand.
    """
    recorded = {folder: _outputs(folder / RUN) for folder in {path.parent for path in digests}}
    for path, digest in digests.items():
        expected = recorded[path.parent].get(path.name, digest)
        if digest != expected:
            raise ChangedFileError(
                f"{path}: sha256 is {digest}; allowed: {expected}, as {RUN} beside it records; "
                f"the file is damaged or was changed by hand: {REMEDY}"
            )


def _outputs(record: Path) -> dict[str, str]:
    if not record.is_file():
        return {}
    outputs: dict[str, str] = read_json(record).get("outputs", {})
    return outputs
