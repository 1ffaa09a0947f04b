"""How long a large study takes to plan: processor seconds of `snakemake --dry-run`.

python benchmarks/planning.py --seeds 700        10,504 jobs
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
BALL = {"norm": "linf", "unit": "feature_std", "epsilons": [0.1]}


def study(seeds: int) -> dict[str, object]:
    """Return a study with 15 jobs per seed, and 4 more."""
    attack = {"objective": "forward_kl", "perturbation": BALL}
    robust = {"norm": "linf", "unit": "feature_std", "epsilon": 0.02}
    return {
        "study": "planned",
        "tracking": {"mode": "off"},
        "models": {"gaussian": {"estimator": {"kind": "gaussian"}}},
        "defenses": {
            "fisher": {"kind": "fisher", "beta": 0.01},
            "robust": {"kind": "robust_likelihood", "perturbation": robust},
        },
        "attacks": {"noise": {"kind": "noise", **attack}, "pgd": {"kind": "pgd", **attack}},
        "certificates": {"shift": {"kind": "posterior_shift", "perturbation": BALL}},
        "experiments": [
            {
                "task": "gaussian_linear_sbibm",
                "budget": 1000,
                "model": "gaussian",
                "defenses": ["none", "fisher", "robust"],
                "attacks": ["noise", "pgd"],
                "certificates": ["shift"],
                "seeds": list(range(seeds)),
            }
        ],
    }


def main() -> None:
    """Plan the study in a folder of its own and print jobs and processor seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=700)
    seeds = parser.parse_args().seeds
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.yaml"
        path.write_text(yaml.safe_dump(study(seeds)))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--directory", folder, "--configfile", str(path), "--cores", "1", "--dry-run"]
        subprocess.run(
            [*command, "--quiet", "all"],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{15 * seeds + 4} jobs: {used.ru_utime + used.ru_stime:.1f} s of processor time")


if __name__ == "__main__":
    main()
