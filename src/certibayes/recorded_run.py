"""The tracked run behind a result: written beside it, or opened later by `certibayes sync`."""

from __future__ import annotations

from pathlib import Path

from certibayes.io import read_json
from certibayes.journal import KEY_LENGTH, SENT

STATE = ".state"


def recorded_run(record: Path) -> str | None:
    """Return the id of the run of a `run.json`, None if no tracking server has it.

    Args:
        record: the file, somewhere below a study's folder.
    """
    run = read_json(record)
    if run["run_id"] is not None:
        return str(run["run_id"])
    state = next((f / STATE for f in record.parents if (f / STATE).is_dir()), None)
    name = f"*/{run['key'][:KEY_LENGTH]}.{run['attempt']}{SENT}"
    markers = [] if state is None else sorted(state.glob(name))
    return str(read_json(markers[0])["run_id"]) if markers else None
