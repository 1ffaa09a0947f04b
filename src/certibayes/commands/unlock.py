"""`certibayes unlock`: clear what a killed workflow left locked."""

from __future__ import annotations

import argparse
from pathlib import Path

from certibayes.config import load
from certibayes.locking import StudyLock, clear_snakemake_locks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), help="study file")


def main(args: argparse.Namespace) -> int:
    """Clear Snakemake's stale lock files of one study; refuse while a workflow runs it."""
    folder = Path("results") / load(args.config).study
    with StudyLock(folder):
        removed = clear_snakemake_locks(Path.cwd(), folder)
    print(f"{folder}: {len(removed)} stale lock files removed; the study is free")
    return 0
