import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from in_process import load_study, run_study
from single_jobs import small_study

from certibayes.preparation import create_database

ROOT = Path(__file__).parents[2]
BALL = {"norm": "linf", "unit": "feature_std"}
STUDY = {
    "study": "tiny",
    "models": {
        "gaussian": {
            "estimator": {"kind": "gaussian", "hidden": [8]},
            "training": {"epochs": 2, "checkpoint_seconds": 0.2},
        }
    },
    "defenses": {
        "fisher": {"kind": "fisher", "beta": 0.01},
        "robust": {"kind": "robust_likelihood", "perturbation": {**BALL, "epsilon": 0.02}},
    },
    "attacks": {
        "noise": {
            "kind": "noise",
            "objective": "forward_kl",
            "perturbation": {**BALL, "epsilons": [0.1]},
        },
        "pgd": {
            "kind": "pgd",
            "objective": "forward_kl",
            "perturbation": {**BALL, "epsilons": [0.1]},
            "steps": 2,
            "restarts": 1,
        },
    },
    "certificates": {
        "shift": {
            "kind": "posterior_shift",
            "perturbation": {**BALL, "epsilons": [0.1]},
            "draws": 200,
            "comparison_draws": 100,
        }
    },
    "evaluation": {
        "observations": 5,
        "report_draws": 256,
        "coverage_draws": 50,
        "c2st_observations": 1,
        "c2st_draws": 100,
    },
    "tracking": {"mode": "strict"},
    "experiments": [
        {
            "task": "gaussian_linear_sbibm",
            "budget": 1000,
            "model": "gaussian",
            "defenses": ["none", "fisher", "robust"],
            "attacks": ["noise", "pgd"],
            "certificates": ["shift"],
        }
    ],
}


@pytest.fixture(autouse=True, scope="session")
def interruptible():
    """Let children heed SIGINT where the suite itself is a shell's background job."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Project:
    """A copy of the workflow with a study of its own; `source` may hold a copy of the package."""

    def __init__(self, folder):
        self.folder = folder
        self.study = yaml.safe_load(yaml.safe_dump(STUDY))
        self.source = None
        shutil.copy(ROOT / "Snakefile", folder)
        for name in ("rules", "profiles", "envs"):
            shutil.copytree(ROOT / name, folder / name)

    def write(self, name="config.yaml"):
        (self.folder / name).write_text(yaml.safe_dump(self.study))

    def copy_package(self):
        self.source = self.folder / "source"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "src", self.source, ignore=ignored)
        return self.source / "certibayes"

    def start(self, module, *arguments):
        return self.start_command(sys.executable, "-m", module, *arguments)

    def start_command(self, *command):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        if self.source is not None:
            environment["PYTHONPATH"] = str(self.source)
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def call(self, module, *arguments):
        with self.start(module, *arguments) as process:
            output, _ = process.communicate(timeout=500)
        return process.returncode, output

    def snakemake(self, *arguments):
        return self.call("snakemake", "--cores", "2", *arguments)

    def planned(self):
        """Return how many jobs of each rule a dry run would execute."""
        code, output = self.snakemake("--dry-run")
        assert code == 0, output
        counts = dict(re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE))
        counts.pop("total", None)
        return {rule: int(count) for rule, count in counts.items()}

    def results(self):
        return [path for path in (self.folder / "results").rglob("*") if path.is_file()]

    def processes(self):
        """Return the ids of living processes whose working folder is this project."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                inside = (path / "cwd").readlink() == self.folder
                state = (path / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if inside and state != "Z":
                found.append(int(path.name))
        return found


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    project.write()
    return project


@pytest.fixture(scope="session")
def slurm():
    """A Slurm that answers; without it tests skip, but under CI they fail."""
    if shutil.which("sinfo") is None:
        answer = "no sinfo here"
    else:
        asked = subprocess.run(["sinfo"], capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            return
        answer = asked.stderr.strip()
    if os.environ.get("CI") == "true":
        pytest.fail(f"no Slurm: {answer}; allowed under CI: one that make test-slurm sets up")
    pytest.skip(f"no Slurm: {answer}; make test-slurm sets one up")


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """One migrated database: migrations take seconds, a copy takes none."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    create_database(f"sqlite:///{path}")
    return path


@pytest.fixture
def base(tmp_path, template):
    shutil.copy(template, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture(scope="session")
def small_finished(tmp_path_factory):
    """The folder of a finished study with one job of every stage, without tracking."""
    base = tmp_path_factory.mktemp("finished")
    run_study(base, small_study())
    return base


@pytest.fixture
def small_copy(small_finished, tmp_path):
    """Return study and layout of a copy of it in `tmp_path`, without state, and its own layout."""
    shutil.copytree(small_finished / "results", tmp_path / "results")
    study, layout = load_study(tmp_path, small_study())
    shutil.rmtree(layout.state)
    return study, layout, load_study(small_finished, small_study())[1]
