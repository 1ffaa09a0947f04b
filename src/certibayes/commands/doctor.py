"""`certibayes doctor`: what a study will find on this machine, and what to do about problems."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from certibayes import __version__
from certibayes.address import workflow_base
from certibayes.config import ConfigError, Study, load
from certibayes.diagnosis.data import data_folder
from certibayes.diagnosis.finding import Finding
from certibayes.diagnosis.leftovers import stale_locks, unsent_journals
from certibayes.diagnosis.machine import disk_space, file_locks, torch_device, writable
from certibayes.diagnosis.slurm import slurm
from certibayes.diagnosis.store import tracking_store
from certibayes.diagnosis.versions import packages, python_version
from certibayes.layout import Layout
from certibayes.workflow.plan import DEVICE_VARIABLE

RESULTS = Path("results")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), help="study file")


def main(args: argparse.Namespace) -> int:
    """Print one line per check and below a problem what to do; 1 if there is a problem."""
    findings = [
        Finding("certibayes", __version__),
        python_version(),
        *packages(),
        *_surroundings(args.config),
        slurm(Path.cwd()),
    ]
    print("\n".join(map(str, findings)))
    return 1 if any(one.advice is not None for one in findings) else 0


def _surroundings(config: Path) -> list[Finding]:
    """Check what depends on the study; without a valid one, what does not."""
    base = workflow_base(Layout(RESULTS / "study"))
    disk = [disk_space(base), file_locks(base)]
    device = os.environ.get(DEVICE_VARIABLE) or "auto"
    try:
        study = load(config)
    except ConfigError as error:
        wrong = Finding("study", str(error), f"correct {config}, or name a study file: --config")
        return [*disk, torch_device(device), data_folder(None), wrong]
    return [*disk, *_of_study(study, config, base)]


def _of_study(study: Study, config: Path, base: Path) -> list[Finding]:
    folder = RESULTS / study.study
    layout = Layout(base / folder)
    findings = [
        Finding("study", f"{study.study} from {config}"),
        torch_device(os.environ.get(DEVICE_VARIABLE) or study.device),
        data_folder(study.data_root),
        writable(base / folder),
        stale_locks(base, folder, config),
        tracking_store(study.tracking, base),
    ]
    if study.tracking.mode != "off":
        findings.append(unsent_journals(layout, config))
    return findings
