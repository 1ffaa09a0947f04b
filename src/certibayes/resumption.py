"""A checkpoint that knows how much of the journal belongs to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from certibayes.checkpoint import Checkpoint, CheckpointError
from certibayes.journal import Journal

CHECKPOINT = "checkpoint.safetensors"


class JournaledCheckpoint:
    """The checkpoint of one attempt, bound to its journal.

    Attributes:
        resumed_from: run, or else attempt, whose state `load` returned; None = none yet.
    """

    def __init__(self, path: Path, journal: Journal) -> None:
        self._file = Checkpoint(path)
        self._journal = journal
        self.resumed_from: str | None = None

    def exists(self) -> bool:
        """Return whether there is a state to load."""
        return self._file.path.exists()

    def save(self, state: Any) -> None:
        """Store a copy of the state together with the journal's position."""
        self._journal.flush()
        position = {"journal": self._journal.path.name, "position": self._journal.position}
        self._file.save({**position, "state": state})

    def load(self) -> Any:
        """Return the stored state or None; the journal goes on from where it was saved.

        Raises:
            CheckpointError: if the file is half written or something else, or its journal is gone.
        """
        content = self._file.load()
        if content is None:
            return None
        if content["journal"] != self._journal.path.name:
            source = self._journal.path.with_name(content["journal"])
            if not source.exists():
                raise CheckpointError(
                    f"{self._file.path}: belongs to {source}, which is gone; remove it to start "
                    "this job afresh"
                )
            earlier = self._journal.take(source, content["position"])
            self.resumed_from = earlier.run_id or earlier.header["attempt_id"]
        return content["state"]

    def remove(self) -> None:
        """Forget the state."""
        self._file.remove()
