"""Write docs/overhead.md: what a workflow costs beside the computing of its jobs.

.venv/bin/python benchmarks/overhead.py [--config config.yaml] [--page docs/overhead.md]
                                        [--jobs 16] [--points 10000]

First imports are timed, and processes log at once into one sqlite file. Then the study runs from
nothing in a temporary folder with --cores 1 and one thread; nothing else should run meanwhile.
A study file is checked before anything is timed; a study that fails ends the command, no page.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from parallel_logging import Logged, log_in_parallel

from certibayes.config import load

ROOT = Path(__file__).parents[1]
WORKFLOW = ("Snakefile", "rules", "profiles", "envs", "docs/examples")
STAGES = ("decoder", "simulate", "gather", "train", "retrain", "attack", "certify", "evaluate")
RATIO, JOB_SECONDS, IMPORT_SECONDS, LOGGING_SECONDS = 1.35, 6.0, 0.5, 120.0
HELP = "from certibayes.cli import main; main(['--help'])"
REPEATS = 5


@dataclass(frozen=True)
class Job:
    """One finished job.

    Attributes:
        stage: its stage.
        computing: seconds between its first and last own step, from `run.json`.
        process: seconds of its process, imports included, as Snakemake measured them.
    """

    stage: str
    computing: float
    process: float


def main() -> None:
    """Run the study and the loggers, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("config.yaml"))
    parser.add_argument("--page", type=Path, default=Path("docs/overhead.md"))
    parser.add_argument("--jobs", type=int, default=16)
    parser.add_argument("--points", type=int, default=10_000)
    args = parser.parse_args()
    load(args.config)
    imports = {
        "`import certibayes`": import_seconds("import certibayes"),
        "`certibayes --help`": import_seconds(HELP),
    }
    print(imports, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        logged = log_in_parallel(Path(folder), args.jobs, args.points)
    print(logged, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        wall = run_study(args.config, Path(folder))
        jobs = finished_jobs(Path(folder))
    args.page.write_text(page(args.config.name, wall, jobs, imports, logged))


def run_study(config: Path, folder: Path) -> float:
    """Run a study from nothing in a copy of the workflow; return its wall time in seconds.

    Raises:
        CalledProcessError: if it fails.
    """
    for name in WORKFLOW:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy(source, folder / name)
    shutil.copy(config, folder / "config.yaml")
    command = [sys.executable, "-m", "certibayes", "run", "--die-with-parent", "--cores", "1"]
    start = time.perf_counter()
    subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def finished_jobs(folder: Path) -> list[Job]:
    """Return the jobs of the one study in a workflow's folder."""
    (logs,) = (folder / "logs").iterdir()
    results = folder / "results" / logs.name
    jobs = []
    for measured in sorted(logs.rglob("*.benchmark.tsv")):
        name = measured.relative_to(logs).with_suffix("").with_suffix("")
        stage = name.name if name.name in (*STAGES, "report") else name.parent.name
        record = _record(results, name, stage)
        with measured.open() as file:
            (row,) = csv.DictReader(file, delimiter="\t")
        jobs.append(Job(stage, float(json.loads(record.read_text())["seconds"]), float(row["s"])))
    return jobs


def _record(results: Path, name: Path, stage: str) -> Path:
    """Return the `run.json` of the job whose log has a name, relative to the study's logs."""
    folder = results / name.parent
    if stage in ("train", "retrain"):
        return folder / "model" / "run.json"
    if stage == "evaluate":
        return folder / "evaluate" / "run.json"
    if stage in ("attack", "certify"):
        return results / name / "run.json"
    return folder / "run.json"


def import_seconds(code: str) -> float:
    """Return the median seconds of a fresh interpreter that runs a line, less an empty one."""

    def once(line: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", line], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start

    once(code)
    taken = [once(code) - once("pass") for _ in range(REPEATS)]
    return max(statistics.median(taken), 0.0)


def page(
    study: str, wall: float, jobs: Sequence[Job], imports: dict[str, float], logged: Logged
) -> str:
    """Return the page."""
    computing = sum(job.computing for job in jobs)
    least = min(jobs, key=lambda job: job.process)
    machine = f"{os.cpu_count()} {platform.machine()} cores; Python {platform.python_version()}"
    summary = [
        ("study over the computing of its jobs", f"{wall / computing:.2f}", f"{RATIO}"),
        (
            f"shortest job, a `{least.stage}`, process and all: no less than one that does nothing",
            f"{least.process:.1f} s",
            f"{JOB_SECONDS:g} s",
        ),
        *((name, f"{taken:.2f} s", f"{IMPORT_SECONDS:g} s") for name, taken in imports.items()),
        (
            f"{logged.jobs} jobs log {logged.points:,} points each: {logged.found:,} found, "
            f"{logged.doubled} doubled, {logged.missing} missing",
            f"{logged.seconds:.0f} s",
            f"{LOGGING_SECONDS:g} s",
        ),
    ]
    return f"""# Overhead

Generated by `python benchmarks/overhead.py` from `{study}`, run from nothing
with `--cores 1` and one thread on {machine}.

| | measured | at most |
|---|---|---|
{_rows(summary)}

The study took {wall:.0f} s, its jobs computed for {computing:.0f} s. What lies between: starting
Python and importing torch and MLflow in every job, and Snakemake's planning, scheduling
and HTML report.

| stage | jobs | computing, s | processes, s | start and end of a job, s | of the wall time |
|---|---|---|---|---|---|
{_rows(_stages(jobs, wall))}

*Computing* is what `run.json` states, from the first to the last own step of a job;
*processes* is what Snakemake's benchmark files state.
"""


def _stages(jobs: Sequence[Job], wall: float) -> list[tuple[str, ...]]:
    rows = []
    for stage in (*STAGES, "report"):
        found = [job for job in jobs if job.stage == stage]
        if not found:
            continue
        computing = sum(job.computing for job in found)
        process = sum(job.process for job in found)
        start = statistics.median(job.process - job.computing for job in found)
        numbers = (f"{computing:.1f}", f"{process:.1f}", f"{start:.1f}", f"{process / wall:.0%}")
        rows.append((f"`{stage}`", str(len(found)), *numbers))
    between = wall - sum(job.process for job in jobs)
    rows.append(("workflow", "", "", f"{between:.1f}", "", f"{between / wall:.0%}"))
    return rows


def _rows(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
