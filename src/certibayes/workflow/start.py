"""What happens when the Snakefile is read: find the study, validate it, prepare the environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

from certibayes.config import ConfigError, load
from certibayes.config.parts import PART_VARIABLE, part_of
from certibayes.workflow.plan import DEVICE_VARIABLE, TRACKING_VARIABLE, Plan

DEFAULT = "config.yaml"
SOURCE_VARIABLE = "CERTIBAYES_SOURCE"
DATA_VARIABLE = "CERTIBAYES_DATA"


def prepare_environment(basedir: str | Path) -> None:
    """Let jobs find this interpreter's commands, and conda environments this package's source."""
    commands = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", "").split(os.pathsep)
    if path[0] != commands:
        os.environ["PATH"] = os.pathsep.join([commands, *path])
    os.environ[SOURCE_VARIABLE] = str(basedir)


def load_plan(
    basedir: str | Path, files: Sequence[str | Path], merged: Mapping[str, object]
) -> tuple[Path, Plan]:
    """Return the study file that Snakemake was given (default `config.yaml`) and its plan.

    The plan is that of a part of the study if the environment names one.

    Jobs find the tracking settings, the folder of data sets and the device in the environment: as
    params they would re-run everything.

    Args:
        basedir: folder of the Snakefile.
        files: Snakemake's `--configfile` values.
        merged: Snakemake's config: the file's keys and those of `--config`.

    Raises:
        WorkflowError: if the study may not run; one line per finding.
    """
    if len(files) > 1:
        names = ", ".join(str(file) for file in files)
        raise WorkflowError(f"--configfile: got {names}; allowed: one study file")
    path = Path(files[0]) if files else Path(basedir) / DEFAULT
    try:
        study = part_of(load(path), os.environ.get(PART_VARIABLE, "").split())
    except ConfigError as error:
        raise WorkflowError(str(error)) from None
    of_file = yaml.safe_load(path.read_text()) if files else {}
    overrides = [key for key, value in merged.items() if of_file.get(key) != value]
    if overrides:
        raise WorkflowError(
            f"--config: got {', '.join(overrides)}; allowed: nothing, a study is its file"
        )
    os.environ[TRACKING_VARIABLE] = study.tracking.model_dump_json()
    _set_data_root(study.data_root)
    os.environ[DEVICE_VARIABLE] = os.environ.get(DEVICE_VARIABLE) or study.device
    return path, Plan(study)


def _set_data_root(named: str | None) -> None:
    """Tell jobs the study's folder of data sets, unless the environment names one already."""
    if named is None or os.environ.get(DATA_VARIABLE):
        return
    root = Path(named).resolve()
    if not root.is_dir():
        raise WorkflowError(f"data_root: got {named!r}, which is {root}; allowed: a folder")
    os.environ[DATA_VARIABLE] = str(root)
