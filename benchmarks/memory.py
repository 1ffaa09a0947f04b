"""Write docs/memory.md: the peak resident memory of every stage of a study of 1e7 pairs.

.venv/bin/python benchmarks/memory.py [--pairs 10000000] [--folder DIRECTORY] [--page PAGE]

The study is made in a temporary folder below DIRECTORY, 2 GB for 1e7 pairs of 31 + 15 numbers,
and removed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import numpy
import psutil
import torch
import yaml
from pydantic import BaseModel

from certibayes.config import load
from certibayes.config.jobs import (
    ModelJob,
    attack_job,
    base_models,
    certify_job,
    gather_jobs,
    model_job,
    model_jobs,
    report_job,
    simulate_job,
)
from certibayes.layout import Layout
from certibayes.mapped_rows import MappedRows
from certibayes.rows import Pairs
from certibayes.stages.training_rows import IN_MEMORY_BYTES, load_rows
from certibayes.workflow.plan import TRACKING_VARIABLE

THETA_DIM, X_DIM = 31, 15
MIB = 2**20
LIMIT = 2 * 2**30
POLL_SECONDS = 0.05
BATCHES = 2_000
BATCH = 256
SIMULATOR = f"""
import numpy as np
from torch import ones, zeros
from torch.distributions import Independent, Normal

prior = Independent(Normal(zeros({THETA_DIM}), ones({THETA_DIM})), 1)


def simulate(theta):
    return theta[:, :{X_DIM}] + 0.5 * np.random.normal(size=(len(theta), {X_DIM}))
"""
BALL = {"norm": "linf", "unit": "feature_std"}
TRAINING = {"epochs": 1, "batch_size": 8192}


@dataclass
class Stage:
    """What the jobs of one stage took.

    Attributes:
        jobs: number of jobs.
        peak: bytes; the largest resident set of a job, its child processes added.
        seconds: wall time of all jobs.
    """

    jobs: int = 0
    peak: int = 0
    seconds: float = 0.0


def main() -> None:
    """Run every job of the study by itself and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="default: the system's temporary folder")
    parser.add_argument("--page", type=Path, default=Path("docs/memory.md"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder, chdir(folder):
        Path("simulator.py").write_text(SIMULATOR)
        Path("study.yaml").write_text(yaml.safe_dump(_study(args.pairs)))
        stages: dict[str, Stage] = {}
        for name, job in _jobs(Path("study.yaml")):
            _measure(name, job, stages.setdefault(name, Stage()))
        reads = _reads(Path("study.yaml"))
        disk = sum(path.stat().st_size for path in Path("results").rglob("*.npy"))
    args.page.write_text(_page(args.pairs, stages, reads, disk))


def _study(pairs: int) -> dict[str, object]:
    return {
        "study": "memory",
        "tasks": {
            "mine": {
                "kind": "file",
                "file": "simulator.py",
                "convention": "batched_numpy",
                "rows_per_call": 100_000,
                "rows_per_shard": 500_000,
            }
        },
        "models": {
            "maf": {
                "estimator": {"kind": "maf", "transforms": 1, "hidden": 64, "blocks": 1},
                "training": TRAINING,
            }
        },
        "defenses": {
            "robust": {
                "kind": "robust_likelihood",
                "perturbation": {**BALL, "epsilon": 0.02},
                "training": TRAINING,
            }
        },
        "attacks": {
            "pgd": {
                "kind": "pgd",
                "objective": "reverse_kl",
                "perturbation": {**BALL, "epsilons": [0.1]},
            }
        },
        "certificates": {
            "shift": {
                "kind": "posterior_shift",
                "perturbation": {**BALL, "epsilons": [0.1]},
                "draws": 2000,
            }
        },
        "evaluation": {"observations": 100},
        "tracking": {"mode": "off"},
        "experiments": [
            {
                "task": "mine",
                "budget": pairs,
                "model": "maf",
                "defenses": ["none", "robust"],
                "attacks": ["pgd"],
                "certificates": ["shift"],
            }
        ],
    }


def _jobs(path: Path) -> Iterator[tuple[str, BaseModel]]:
    study = load(path)
    for gather in gather_jobs(study):
        for shard in range(gather.shards):
            yield "simulate", simulate_job(study, gather.task, shard)
        yield "gather", gather
    for base in base_models(study):
        yield "train", base
    for model in model_jobs(study):
        if model.defense != "none":
            yield "retrain", model_job(model)
        for attack in model.attacks:
            yield "attack", attack_job(model, attack)
        for certificate in model.certificates:
            yield "certify", certify_job(model, certificate)
        yield "evaluate", model
    yield "report", report_job(study)


def _measure(name: str, job: BaseModel, stage: Stage) -> None:
    command = [sys.executable, "-m", "certibayes", name, "--code", "benchmark"]
    command += ["--log", f"logs/memory/{name}.log", "--job", "-"]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        TRACKING_VARIABLE: json.dumps({"mode": "off"}),
    }
    started = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, text=True) as process:
        polled = _Polled(process.pid)
        assert process.stdin is not None
        process.stdin.write(job.model_dump_json(exclude={"tracking"}))
        process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    polled.join()
    if process.returncode:
        raise SystemExit(f"{name}: exit code {process.returncode}")
    stage.jobs += 1
    stage.peak = max(stage.peak, usage.ru_maxrss * 1024, polled.peak)
    stage.seconds += time.perf_counter() - started


class _Polled(threading.Thread):
    """The largest sum of resident sets of a process and its descendants, seen every 50 ms."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._process = psutil.Process(pid)
        self.start()

    def run(self) -> None:
        while True:
            try:
                family = [self._process, *self._process.children(recursive=True)]
                self.peak = max(self.peak, sum(one.memory_info().rss for one in family))
            except psutil.NoSuchProcess:
                if not self._process.is_running():
                    return
            time.sleep(POLL_SECONDS)


def _reads(path: Path) -> dict[str, float]:
    """Return microseconds for a shuffled batch, mapped and in memory (of a tenth of the rows)."""
    study = load(path)
    job: ModelJob = base_models(study)[0]
    layout = Layout(Path("results") / study.study)
    pairs, _ = load_rows(layout, job)
    tenth, _ = load_rows(layout, job.model_copy(update={"budget": job.budget // 10}))
    memory = tenth.in_memory() if isinstance(tenth, MappedRows) else tenth
    return {"mapped": _per_batch(pairs), "in memory": _per_batch(memory)}


def _per_batch(pairs: Pairs) -> float:
    order = torch.randperm(len(pairs))[: BATCHES * BATCH]
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        for _ in pairs.batches(order, BATCH):
            pass
        best = min(best, time.perf_counter() - started)
    return best / len(order) * BATCH * 1e6


def _page(pairs: int, stages: dict[str, Stage], reads: dict[str, float], disk: int) -> str:
    lines = [
        f"| {name} | {stage.jobs} | {stage.peak / MIB:.0f} | {stage.seconds / stage.jobs:.0f} |"
        for name, stage in stages.items()
    ]
    worst = max(stages.values(), key=lambda stage: stage.peak)
    return "\n".join(
        [
            f"# Memory of a study of {pairs:,} pairs",
            "",
            f"Generated by `python benchmarks/memory.py --pairs {pairs}` on {os.cpu_count()} "
            f"{platform.machine()} cores; Python {platform.python_version()}, torch "
            f"{torch.__version__}, numpy {numpy.__version__}.",
            "",
            f"Pairs of {THETA_DIM} + {X_DIM} numbers from a user's file, {disk / MIB:.0f} MiB of "
            "arrays on disk; an autoregressive flow is trained and then retrained "
            "(robust likelihood) for one epoch over all of them, with batches of "
            f"{TRAINING['batch_size']}. The peak is the resident "
            "set of a job, memory-mapped pages and child processes included; "
            f"the largest is {worst.peak / LIMIT:.0%} of 2 GiB.",
            "",
            "| stage | jobs | peak, MiB | seconds per job |",
            "| --- | --- | --- | --- |",
            *lines,
            "",
            "## Why it does not grow",
            "",
            "- `simulate` holds one shard, whatever the budget.",
            "- `gather` makes test pairs and units from draws of their own and reads the counts "
            "of failures of every shard, no pairs; units of a data set are summed over blocks of a "
            "shard's size.",
            "- `train` and `retrain` hold the numbers of their rows and the shuffled order of an "
            "epoch, 8 bytes per row each. Pairs stay in the shards' files: a read maps one "
            "window of a file at a time, copies its rows and unmaps it. Columns of x are "
            "sorted for their quartiles a few at a time. Pairs of "
            f"{IN_MEMORY_BYTES / MIB:.0f} MiB or less are read into memory once.",
            "- `attack`, `certify`, `evaluate` and `report` read test pairs, weights and each "
            "other's files, never a training pair.",
            "",
            "Memory for the kernel's page cache is not counted: the kernel takes it back when "
            "others need it. Training is fastest while the cache holds all shards.",
            "",
            "## What mapping costs",
            "",
            f"A shuffled batch of {BATCH} takes {reads['mapped']:.0f} microseconds from mapped "
            f"shards (in the page cache) and {reads['in memory']:.0f} from memory.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
