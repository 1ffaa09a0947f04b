"""What earlier executions of a study left: journals that were not sent, stale locks."""

from __future__ import annotations

from pathlib import Path

from certibayes.diagnosis.finding import Finding
from certibayes.io import FileFormatError
from certibayes.journal import read
from certibayes.layout import Layout
from certibayes.locking import StudyLock, snakemake_locks
from certibayes.process import alive
from certibayes.reporting import journals


def unsent_journals(layout: Layout, config: Path) -> Finding:
    """Check that the tracking store has all attempts but those of living jobs."""
    try:
        records = [read(path) for path in journals(layout)]
    except FileFormatError as error:
        return Finding("journals", str(error), "move that file away: the others can be sent")
    lost = [one for one in records if one.status is not None or not alive(one.header["tags"])]
    if not lost:
        return Finding("journals", f"all sent, {len(records)} of living jobs")
    text = f"{len(lost)} attempts are not in the tracking store"
    return Finding("journals", text, f"certibayes sync --config {config}")


def stale_locks(workdir: Path, folder: Path, config: Path) -> Finding:
    """Check that no Snakemake that was killed left the study locked.

    Args:
        workdir: the workflow's folder.
        folder: the study's folder relative to it.
        config: the study file.
    """
    if StudyLock(workdir / folder).held():
        return Finding("study lock", "a workflow runs this study")
    stale = snakemake_locks(workdir, folder)
    if not stale:
        return Finding("study lock", "free")
    text = f"{len(stale)} lock files of a Snakemake that was killed"
    return Finding("study lock", text, f"certibayes unlock --config {config}")
