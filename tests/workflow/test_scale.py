"""Simulations do not depend on shards in flight; memory does not grow with the budget."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from in_process import load_study

from certibayes.config.jobs import base_models
from certibayes.io import sha256_of, write_json
from conftest import Project

TWO_GIB = 2**31
THETA_DIM, X_DIM = 31, 15
OWN = {"kind": "file", "convention": "batched_numpy"}
MINE = """
import numpy as np
from torch import ones, zeros
from torch.distributions import Independent, Normal

prior = Independent(Normal(zeros({theta}), ones({theta})), 1)


def simulate(theta):
    return theta[:, :{x}] + np.random.normal(size=(len(theta), {x}))
"""


@pytest.mark.slow
def test_simulations_are_bit_identical_with_1_3_and_8_shards_in_flight(tmp_path):
    found = {}
    for cores in (1, 3, 8):
        folder = tmp_path / f"cores{cores}"
        folder.mkdir()
        project = Project(folder)
        (folder / "mine.py").write_text(MINE.format(theta=4, x=3))
        project.study["tracking"]["mode"] = "off"
        project.study["tasks"] = {"mine": {**OWN, "file": "mine.py", "rows_per_shard": 40}}
        experiment = project.study["experiments"][0]
        project.study["experiments"] = [
            {**experiment, "task": "two_moons", "budget": 400_000},
            {**experiment, "task": "mine", "budget": 160},
        ]
        project.write()
        code, output = project.call("snakemake", "--cores", str(cores), "--until", "gather")
        assert code == 0, output
        results = folder / "results"
        arrays = [path for path in results.rglob("*.np[yz]") if "simulate" in path.parts]
        found[cores] = {str(path.relative_to(results)): sha256_of(path) for path in arrays}
    assert len(found[1]) == 2 * (4 * 3 + 1)
    assert len({digest for name, digest in found[1].items() if "/x.npy" in name}) == 8
    assert found[1] == found[3] == found[8]


PEAK_OF_MAIN = """
import sys
from pathlib import Path

from certibayes.cli import main

code = main()
status = Path("/proc/self/status").read_text()
Path("peak.txt").write_text(status.split("VmHWM:")[1].split()[0])
sys.exit(code)
"""
"""The command line, then its own peak: `ru_maxrss` would hold the peak of the process that spawned
it, here pytest after other tests, because Linux hands it on through vfork and exec."""


def fabricate(folder, budget):
    """Write shards and units as `simulate` and `gather` leave them; return study and layout."""
    study, layout = load_study(
        folder,
        {
            "study": f"n{budget}",
            "tasks": {"mine": {**OWN, "file": "mine.py", "rows_per_shard": 250_000}},
            "models": {
                "gaussian": {
                    "estimator": {"kind": "gaussian", "hidden": [16]},
                    "training": {"epochs": 1, "batch_size": 4096},
                }
            },
            "evaluation": {"observations": 5},
            "tracking": {"mode": "off"},
            "experiments": [{"task": "mine", "budget": budget, "model": "gaussian"}],
        },
    )
    (job,) = base_models(study)
    random = np.random.default_rng(0)
    for shard in range(job.task_spec.shards(budget)):
        rows = min(job.task_spec.shard_size, budget)
        theta = random.standard_normal((rows, THETA_DIM), dtype=np.float32)
        x = theta[:, :X_DIM] + random.standard_normal((rows, X_DIM), dtype=np.float32)
        to = layout.shard(job, shard)
        to.mkdir(parents=True)
        for name, values in (("target", theta), ("x", x), ("valid", random.random(rows) > 0.01)):
            np.save(to / f"{name}.npy", values)
    scale = {"feature_std": [2**0.5] * X_DIM, "within_std": 1.0, "inactive_features": 0}
    write_json(layout.reference(job) / "scale.json", scale)
    return job, layout


def peak_of_training(folder, budget):
    """Train on fabricated pairs in a process of its own; return its peak resident bytes."""
    job, layout = fabricate(folder, budget)
    Path("peak.txt").unlink(missing_ok=True)
    options = ["--code", "none", "--log", "train.log"]
    description = job.model_dump_json(exclude={"tracking"})
    ended = subprocess.run(
        [sys.executable, "-c", PEAK_OF_MAIN, "train", *options, "--job", description],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "CERTIBAYES_TRACKING": json.dumps({"mode": "off"}),
        },
    )
    assert ended.returncode == 0, Path("train.log").read_text()
    manifest = layout.weights(job) / "manifest.json"
    assert json.loads(manifest.read_text())["steps"] == pytest.approx(budget * 0.94 // 4096, abs=5)
    return int(Path("peak.txt").read_text()) * 1024


@pytest.mark.slow
def test_training_memory_grows_by_less_than_the_pairs_it_reads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE.format(theta=THETA_DIM, x=X_DIM))
    budget = 3_000_000
    few, many = (peak_of_training(tmp_path, rows) for rows in (20_000, budget))
    assert many < TWO_GIB / 2
    assert many - few < 0.5 * budget * (THETA_DIM + X_DIM) * 4
