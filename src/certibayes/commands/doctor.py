"""`certibayes doctor`: what a study will find on this machine."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sqlite3
import subprocess
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from certibayes import __version__
from certibayes.address import (
    TrackingError,
    database_file,
    require_reachable,
    store_uri,
    workflow_base,
)
from certibayes.config import ConfigError, load
from certibayes.config.tracking import Tracking
from certibayes.flock import LockHeldError, locked
from certibayes.layout import Layout

PACKAGES = ("torch", "nflows", "numpy", "snakemake", "mlflow", "safetensors")
DATA_VARIABLE = "CERTIBAYES_DATA"
GIGABYTE = 1e9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), help="study file")


def main(args: argparse.Namespace) -> int:
    """Print one line per finding; 1 if something here would stop a study."""
    base = workflow_base(Layout(Path("results") / "study"))
    findings = [
        ("certibayes", __version__, True),
        ("python", platform.python_version(), True),
        *(_package(name) for name in PACKAGES),
        _threads(),
        ("disk", f"{shutil.disk_usage(base).free / GIGABYTE:.1f} GB free in {base}", True),
        _locks(base),
        *_study(args.config, base),
        _slurm(),
        (
            DATA_VARIABLE,
            os.environ.get(DATA_VARIABLE, "not set: built-in data only"),
            True,
        ),
    ]
    for name, text, good in findings:
        print(f"{'ok' if good else 'PROBLEM':<9}{name:<17}{text}")
    return 0 if all(good for _, _, good in findings) else 1


Finding = tuple[str, str, bool]


def _package(name: str) -> Finding:
    try:
        return name, version(name), True
    except PackageNotFoundError:
        return name, "not installed", False


def _threads() -> Finding:
    import torch

    text = f"{torch.get_num_threads()} of {os.cpu_count()} cores by default; jobs set their own"
    return "torch threads", f"{text}; cuda {torch.cuda.is_available()}", True


def _locks(base: Path) -> Finding:
    """Two descriptors of one file must exclude each other; some network file systems do not."""
    path = base / ".certibayes-doctor.lock"
    try:
        with locked(path, 0.0):
            try:
                with locked(path, 0.0):
                    return "file locks", f"do not work in {base}", False
            except LockHeldError:
                return "file locks", "work", True
    except OSError as error:
        return "file locks", f"fail in {base}: {error}", False
    finally:
        path.unlink(missing_ok=True)


def _study(config: Path, base: Path) -> list[Finding]:
    try:
        study = load(config)
    except ConfigError as error:
        return [("study", str(error), False)]
    return [("study", f"{study.study} from {config}", True), _store(study.tracking, base)]


def _store(tracking: Tracking, base: Path) -> Finding:
    uri = store_uri(tracking, base)
    path = database_file(uri)
    if tracking.mode == "off":
        return "tracking", "off", True
    if path is None:
        try:
            require_reachable(uri)
        except TrackingError as error:
            return "tracking", str(error), tracking.mode != "strict"
        return "tracking", "server answers", True
    if not path.exists():
        return "tracking", f"{path} will be made", True
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            ((schema,),) = database.execute("select version_num from alembic_version").fetchall()
            ((state,),) = database.execute("pragma quick_check(1)").fetchall()
    except (sqlite3.Error, ValueError) as error:
        return "tracking", f"{path} is broken: {error}", False
    return "tracking", f"{path}: schema {schema}, check {state}", state == "ok"


def _slurm() -> Finding:
    if shutil.which("sbatch") is None:
        return "slurm", "not here", True
    if shutil.which("squeue") is None:
        return "slurm", "sbatch without squeue: status of jobs cannot be asked", False
    answer = subprocess.run(["squeue", "--noheader"], capture_output=True, text=True, check=False)
    text = "slurm-status-command: squeue works" if answer.returncode == 0 else answer.stderr.strip()
    return "slurm", text, answer.returncode == 0
