"""What happens around an execution: lock the study, echo it, open and close its run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from certibayes.layout import Layout
from certibayes.locking import HOLDER_VARIABLE, StudyLock, StudyLockedError
from certibayes.workflow.plan import DEVICE_VARIABLE, Plan
from certibayes.writing import WriteError, atomic


def begin(plan: Plan, study_file: Path, local: bool = True) -> None:
    """Take the study's lock, write the resolved study and the report's job, prepare tracking.

    The lock is taken here only if the parent process, `certibayes run`, does not hold it; it is
    held until this process ends.

    Args:
        plan: the study.
        study_file: its file.
        local: whether jobs run on this machine; elsewhere they look for their GPU themselves.

    Raises:
        WorkflowError: if another workflow runs this study, its folder cannot be written, or
            tracking is strict and unreachable.
    """
    folder = Path(plan.root)
    if os.environ.get(HOLDER_VARIABLE) != str(os.getppid()):
        try:
            StudyLock(folder).acquire()
        except (StudyLockedError, WriteError) as error:
            raise WorkflowError(str(error)) from None
    if local:
        _require_device()
    _write(Layout(folder).study_file, plan.study.model_dump_json(indent=2) + "\n")
    _write(Path(plan.report_file), plan.report_text())
    if _sync(plan, study_file, "--prepare") != 0:
        raise WorkflowError("tracking could not be prepared; nothing was run")


def _write(path: Path, text: str) -> None:
    try:
        with atomic(path) as temporary:
            temporary.write_text(text)
    except WriteError as error:
        raise WorkflowError(str(error)) from None


def _require_device() -> None:
    """Ask for a GPU that the study insists on before hours of simulation; torch stays out here."""
    if os.environ.get(DEVICE_VARIABLE) != "cuda":
        return
    question = "from certibayes.device import chosen_device; chosen_device()"
    answer = subprocess.run(
        [sys.executable, "-c", question], capture_output=True, text=True, check=False
    )
    if answer.returncode != 0:
        raise WorkflowError(answer.stderr.strip().splitlines()[-1])


def finish(plan: Plan, study_file: Path, status: str) -> None:
    """Close the study's run with the status of this execution."""
    _sync(plan, study_file, "--close", status)


def _sync(plan: Plan, study_file: Path, *arguments: str) -> int:
    if plan.study.tracking.mode == "off":
        return 0
    command = [sys.executable, "-m", "certibayes", "sync", "--config", str(study_file), *arguments]
    return subprocess.run(command, check=False).returncode
