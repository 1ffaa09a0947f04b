"""Whether Slurm is here, and whether Snakemake will learn that its jobs ended."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from certibayes.diagnosis.finding import Finding

NAME = "slurm"
PROFILE = Path("profiles") / "slurm" / "config.yaml"
STATUS_COMMAND = "slurm-status-command"
UNCONFIGURED = "Could not establish a configuration source"
"""What a client says that neither a file nor the network tells of any cluster."""
FIRST_LOOK = "slurm-init-seconds-before-status-checks"
FIRST_LOOK_SECONDS = 40
"""What the executor waits before it first asks, unless the profile says otherwise."""
LOOKS = 3
"""Slurm must remember an ended job for so many first waits, or the executor asks sacct instead."""


def slurm(workdir: Path) -> Finding:
    """Check Slurm and the command by which the profile asks for the status of jobs."""
    if shutil.which("sbatch") is None:
        return Finding(NAME, "not here")
    if shutil.which("squeue") is None:
        return Finding(NAME, "sbatch without squeue", "install Slurm's client commands")
    code, answer = _answer("squeue", "--noheader")
    if code != 0 and UNCONFIGURED in answer:
        return Finding(NAME, "installed, but no cluster is configured here")
    if code != 0:
        advice = "see to slurmctld, munge and /etc/slurm/slurm.conf; squeue has to work by itself"
        return Finding(NAME, f"squeue fails: {answer}", advice)
    code, answer = _answer("scontrol", "show", "config")
    if code != 0:
        return Finding(NAME, f"scontrol fails: {answer}", "install Slurm's client commands")
    return _status(_settings(answer), _profile(workdir / PROFILE))


def _status(settings: dict[str, str], profile: dict[str, Any]) -> Finding:
    """Judge the profile by what the cluster says of itself."""
    command = profile.get(STATUS_COMMAND, "sacct")
    accounting = settings.get("AccountingStorageType", "")
    if command != "squeue":
        if accounting.endswith("/none") or accounting == "(null)":
            return Finding(
                NAME,
                f"{STATUS_COMMAND} is {command}, but accounting is off: Snakemake would never "
                "learn that a job ended",
                f"{STATUS_COMMAND}: squeue in {PROFILE}",
            )
        return Finding(NAME, f"{STATUS_COMMAND}: {command}, accounting by {accounting}")
    age = int((re.findall(r"\d+", settings.get("MinJobAge", "")) or ["0"])[0])
    wait = int(profile.get(FIRST_LOOK, FIRST_LOOK_SECONDS))
    if age < LOOKS * wait:
        return Finding(
            NAME,
            f"Slurm forgets ended jobs after MinJobAge = {age} s, the first look is after {wait} s",
            f"MinJobAge={LOOKS * wait} in slurm.conf, or {FIRST_LOOK}: {age // LOOKS} in {PROFILE}",
        )
    return Finding(NAME, f"{STATUS_COMMAND}: squeue works")


def _answer(*command: str) -> tuple[int, str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr.strip()


def _settings(text: str) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _profile(path: Path) -> dict[str, Any]:
    found = yaml.safe_load(path.read_text()) if path.is_file() else None
    return found if isinstance(found, dict) else {}
