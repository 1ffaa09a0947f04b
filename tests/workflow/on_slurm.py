"""The profile that is handed out, faster in polling, and what Slurm says of jobs."""

import subprocess
from dataclasses import dataclass

import yaml

from conftest import ROOT

QUICK = {
    "retries": 4,
    "latency-wait": 10,
    "seconds-between-status-checks": 1,
    "slurm-init-seconds-before-status-checks": 1,
}


def write_profile(project, **train):
    """Write `profiles/quick` with other resources of the rule `train`; return its folder."""
    values = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())
    values["set-resources"]["train"] |= train
    folder = project.folder / "profiles" / "quick"
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(values | QUICK))
    return str(folder)


@dataclass(frozen=True)
class Submission:
    """One job as Slurm has it; `minutes`: its limit, `comment`: the rule or group."""

    state: str
    minutes: int
    comment: str


def submissions(project):
    """Return every job submitted from a project, by its number."""
    command = ["squeue", "--states=all", "--noheader", "--format=%i|%T|%l|%Z|%k"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [line.strip().split("|", 4) for line in lines]
    return {
        number: Submission(state, _minutes(limit), comment)
        for number, state, limit, folder, comment in rows
        if folder == str(project.folder)
    }


def _minutes(limit):
    """Return the minutes of `days-hours:minutes:seconds`, whose first parts may be missing."""
    days, _, clock = limit.rpartition("-")
    hours, minutes = [0, 0, *map(int, clock.split(":"))][-3:-1]
    return 60 * (24 * int(days or 0) + hours) + minutes
