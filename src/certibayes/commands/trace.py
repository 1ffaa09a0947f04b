"""`certibayes trace FILE`: from a result to its run, inputs, code and commit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from certibayes.io import read_json, sha256_of
from certibayes.layout import Layout
from certibayes.published import published_version
from certibayes.recorded_run import STATE, recorded_run

RUN = "run.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("file", type=Path, help="a result, its folder, or its run.json")


def main(args: argparse.Namespace) -> int:
    """Print where a result comes from; 1 if a file has changed since, 2 if no run made it."""
    record = _record_of(args.file.resolve())
    if record is None:
        print(f"{args.file}: no {RUN} in this folder or above it", file=sys.stderr)
        return 2
    run = read_json(record)
    if not _is_output(args.file.resolve(), record, run["outputs"]):
        print(
            f"{args.file}: no output of the run whose record lies in {record.parent}",
            file=sys.stderr,
        )
        return 2
    run["run_id"] = recorded_run(record)
    for name in ("run_id", "key", "stage", "attempt", "resumed_from", "code", "git_commit"):
        print(f"{name:<13}{_text(run.get(name))}{_dirty(run) if name == 'git_commit' else ''}")
    print(f"{'config':<13}{_config(record, run.get('config_digest'))}")
    print(f"{'seconds':<13}{run['seconds']:.1f}")
    print(f"{'model':<13}{_text(_registered(record))}")
    base = _base_of(record)
    same = [_check("input", base / name, name, digest) for name, digest in run["inputs"].items()]
    same += [
        _check("output", record.parent / name, name, digest)
        for name, digest in run["outputs"].items()
    ]
    return 0 if all(same) else 1


def _is_output(path: Path, record: Path, outputs: Mapping[str, str]) -> bool:
    """Return whether the run made a file; its folder and its record stand for all of them."""
    return path.is_dir() or path == record or str(path.relative_to(record.parent)) in outputs


def _record_of(path: Path) -> Path | None:
    if path.name == RUN:
        return path if path.exists() else None
    for folder in (path, *path.parents):
        if (folder / RUN).is_file():
            return folder / RUN
        if (folder / STATE).is_dir():
            return None
    return None


def _base_of(record: Path) -> Path:
    """Return the workflow's folder: inputs are relative to it; a study's folder has a state."""
    for folder in record.parents:
        if (folder / STATE).is_dir():
            return folder.parent.parent
    return Path.cwd()


def _config(record: Path, digest: str | None) -> str:
    """Return the digest of the study's resolved file, and whether that file is still the same."""
    if digest is None:
        return "none"
    study = next((folder for folder in record.parents if (folder / STATE).is_dir()), None)
    path = None if study is None else Layout(study).study_file
    if path is None or not path.is_file():
        return f"{digest[:16]} (the study's file is missing)"
    now = "the same" if sha256_of(path) == digest else "another study by now"
    return f"{digest[:16]} ({path.name}: {now})"


def _registered(record: Path) -> str | None:
    """Return name and version of the registered model that a result is part of."""
    study = next((folder for folder in record.parents if (folder / STATE).is_dir()), None)
    return None if study is None else published_version(Layout(study), record)


def _text(value: Any) -> str:
    return "none" if value is None else str(value)


def _dirty(run: dict[str, Any]) -> str:
    return " with uncommitted changes" if run.get("git_dirty") == "true" else ""


def _check(role: str, path: Path, name: str, digest: str) -> bool:
    if not path.is_file():
        verdict = "missing"
    else:
        verdict = "same" if sha256_of(path) == digest else "CHANGED"
    print(f"{role:<7}{verdict:<8}{digest[:16]}  {name}")
    return verdict == "same"
