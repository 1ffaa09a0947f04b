"""Where a result comes from: commit, host, versions, and the names of a job."""

from __future__ import annotations

import json
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from certibayes import __version__
from certibayes.io import sha256_of
from certibayes.layout import Layout

NAMES = ("task", "budget", "model", "defense", "seed", "attack", "certificate", "shard")
NOT_A_PARAMETER = {"study", "tracking"}


def git_tags(folder: Path) -> dict[str, str]:
    """Return git_commit and git_dirty of the checkout around a folder; empty outside of one."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return {}
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"git_commit": commit, "git_dirty": str(bool(changes)).lower()}


def config_tags(layout: Layout) -> dict[str, str]:
    """Return config_digest, the sha256 of the study's resolved file; empty outside a workflow."""
    path = layout.study_file
    return {"config_digest": sha256_of(path)} if path.is_file() else {}


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def version_tags() -> dict[str, str]:
    """Return the versions of the packages that run and compute a study."""
    others = {f"{name}_version": version(name) for name in ("snakemake", "torch", "nflows")}
    return {"certibayes_version": __version__, **others}


def names_of(job: BaseModel) -> dict[str, str]:
    """Return task, model, defense, seed, ... as far as the job has them."""
    return {name: str(getattr(job, name)) for name in NAMES if hasattr(job, name)}


def parameters_of(job: BaseModel) -> dict[str, str]:
    """Return the job flattened: `model_spec.training.epochs` -> "30"; lists are JSON."""
    flat: dict[str, str] = {}
    _flatten(job.model_dump(mode="json", exclude=NOT_A_PARAMETER), "", flat)
    return flat


def _flatten(value: Any, name: str, flat: dict[str, str]) -> None:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            _flatten(item, f"{name}.{key}" if name else str(key), flat)
    else:
        flat[name] = value if isinstance(value, str) else json.dumps(value)
