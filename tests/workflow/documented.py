"""Commands and code of the pages, and a small study with the names of the default one."""

import re
import shlex
import subprocess
from pathlib import Path

from served import environment

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CELL = re.compile(r"^\| `(make [^`]*)` \|", re.MULTILINE)
PROGRAMS = ("make", "certibayes", "mlflow", "python", "pip", "source", "snakemake")
SHELLS = ("", "sh", "bash", "console")
COUNTS = {"norm": "linf", "unit": "raw", "epsilons": [0.0001, 0.001]}
STUDY = {
    "study": "default",
    "models": {
        "maf_squashed": {
            "estimator": {"kind": "maf", "transforms": 1, "hidden": 8, "blocks": 1, "squash": True},
            "training": {"epochs": 1},
        }
    },
    "defenses": {"robust_counts": {"kind": "fisher", "beta": 0.001}},
    "attacks": {
        "noise_counts": {"kind": "noise", "objective": "forward_kl", "perturbation": COUNTS}
    },
    "certificates": {
        "shift_counts": {
            "kind": "posterior_shift",
            "perturbation": COUNTS,
            "draws": 100,
            "comparison_draws": 50,
        }
    },
    "evaluation": {
        "observations": 5,
        "report_draws": 256,
        "coverage_draws": 50,
        "c2st_observations": 1,
        "c2st_draws": 100,
        "predictive_draws": 0,
    },
    "experiments": [
        {
            "task": "lynx_hare",
            "budget": 1000,
            "model": "maf_squashed",
            "defenses": ["none", "robust_counts"],
            "attacks": ["noise_counts"],
            "certificates": ["shift_counts"],
        }
    ],
}


def pages():
    """Return the pages that people read."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page, *kinds):
    """Return the fenced blocks of some kinds on a page."""
    return [code for kind, code in FENCE.findall(page.read_text()) if kind in kinds]


def commands(page):
    """Return the commands on a page, in order, without their comments."""
    lines = []
    for code in blocks(page, *SHELLS):
        joined = code.replace("\\\n", " ")
        lines += [line for line in joined.splitlines() if line.split(" ")[0] in PROGRAMS]
    lines += CELL.findall(page.read_text())
    return [shlex.join(shlex.split(line, comments=True)) for line in lines]


def run(base, code):
    answer = subprocess.run(
        ["bash", "-ec", code], cwd=base, env=environment(base), capture_output=True, text=True
    )
    assert answer.returncode == 0, f"{code}\n{answer.stdout}\n{answer.stderr}"
