"""Every command of the documentation, run as it stands there, or checked as the tables here say.

A page that a test module of its own names (docs/using_models.md, for instance) is run there.
"""

import os
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml
from documented import ROOT, STUDY, blocks, commands, pages, run
from in_process import run_study

from certibayes.cli import main
from certibayes.config import load

SHOWN_BY_MAKE = {
    "make run": "certibayes run --die-with-parent --config config.yaml",
    "make run 'TORCH_ARGS=--index-url <address of the build>'": "<address of the build>",
    "make run CONFIG=studies/ci.yaml CORES=4": "--config studies/ci.yaml --cores 4",
    "make run CONFIG=studies/x.yaml 'PART=task=sir seed=0'": "--part task=sir --part seed=0",
    "make run CONFIG=studies/mine.yaml": "--config studies/mine.yaml",
    "make run CONFIG=studies/mine.yaml PART=defense=none": "--part defense=none",
    "make run CONFIG=studies/gloeckler2023.yaml 'PART=task=sir budget=100000 seed=0,1'": (
        "--part task=sir --part budget=100000 --part seed=0,1"
    ),
    "make plan": "snakemake --dry-run --cores 1 --configfile config.yaml",
    "make report": "certibayes report --check --config config.yaml",
    "make ui": "mlflow ui --backend-store-uri sqlite:///mlflow.db",
    "make test": "pytest -n auto",
    "make slow": "pytest -n auto -m slow",
    "make lint": "ruff check .",
    "make unlock": "certibayes unlock --config config.yaml",
    "make run PROFILE=profiles/slurm": "profiles/slurm",
    "make test-slurm": "slurm",
}
"""Long, or in need of the network: a dry run of make, and what it would then execute."""

PLANNED = (
    "certibayes run --config studies/gloeckler2023.yaml --part task=sir --part budget=100000 "
    "--part seed=0,1",
)
"""Hours: `certibayes list` with the same study and part."""

RUN = (
    "certibayes doctor --config config.yaml",
    "certibayes list --config config.yaml",
    "certibayes list --kinds",
    "certibayes list --config studies/ci.yaml",
    "certibayes list --config studies/ci.yaml --part task=digits",
    "certibayes report --check --config studies/mine.yaml",
    "certibayes trace results/mine/summary.csv",
    "certibayes trace results/default/summary.csv",
    "python benchmarks/concepts.py",
    "python docs/examples/write_pairs.py",
    "certibayes list --config studies/own_pairs.yaml",
)
"""For real, in a small study; with `SUBSTITUTES`."""

NOT_RUN = {
    "source .venv/bin/activate": "tests run in the environment already",
    "certibayes audit posterior.pt --trust --observations x.npy": (
        "needs a posterior of sbi; tests/workflow/test_audit_page.py"
    ),
    "python": "starts the interpreter that the next block of code is typed into",
    "pip install --no-deps sbibm==1.1.0": "changes the environment",
    "python -c 'from certibayes.datasets.mnist import MNIST; MNIST.load('\"'\"'train'\"'\"'); "
    "MNIST.load('\"'\"'test'\"'\"')'": "downloads; tests/unit/test_datasets_download.py",
}

SUBSTITUTES = {
    "n200000": "n1000",
    "studies/mine.yaml": "config.yaml",
    "results/mine": "results/default",
    "robust_counts@best": "robust_counts@n1000_seed0",
}
"""The small study stands for the studies of the pages; which of its models is best, is chance."""

CODE = ("README.md", "docs/compare.md", "docs/own_data.md")
"""Pages whose Python code runs in the small study, one page one session."""


def has_own_test(page):
    own = [path for path in (ROOT / "tests").rglob("*.py") if path.name != "documented.py"]
    own = [path for path in own if path.name != "test_documented_commands.py"]
    return page.parent.name == "docs" and any(f"{page.name}" in path.read_text() for path in own)


def found():
    return {command for page in pages() if not has_own_test(page) for command in commands(page)}


def here(text):
    for old, new in SUBSTITUTES.items():
        text = text.replace(old, new)
    return text


def test_every_command_stands_in_one_table():
    tables = [*SHOWN_BY_MAKE, *PLANNED, *RUN, *NOT_RUN]
    assert len(set(tables)) == len(tables)
    assert found() <= set(tables)
    unused = set(tables) - found()
    assert unused <= {"make slow", "make lint"}


@pytest.mark.parametrize("command", SHOWN_BY_MAKE)
def test_make_would_do_what_the_page_says(command):
    program, *arguments = shlex.split(command)
    answer = subprocess.run(
        [program, "--dry-run", "--always-make", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert SHOWN_BY_MAKE[command] in " ".join(answer.stdout.replace("\\\n", " ").split())


@pytest.mark.parametrize("command", PLANNED)
def test_long_commands_can_be_planned(command, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main(["list", *shlex.split(command)[2:]]) == 0
    assert "total" in capsys.readouterr().out


def test_the_study_of_the_quick_start_is_valid(tmp_path):
    (code,) = blocks(ROOT / "docs" / "quick_start.md", "yaml")
    path = tmp_path / "mine.yaml"
    path.write_text(code)
    study = load(path)
    assert study.study == "mine"
    assert study.experiments[0].defenses == ("none", "robust")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, template):
    """The folder of a finished study, its models registered."""
    base = tmp_path_factory.mktemp("documented")
    shutil.copy(template, base / "mlflow.db")
    for name in ("studies", "benchmarks", "docs/examples"):
        shutil.copytree(ROOT / name, base / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CERTIBAYES_BASE", str(base))
        patch.chdir(base)
        run_study(base, STUDY)
        (base / "config.yaml").write_text(yaml.safe_dump(STUDY))
        run(base, "certibayes sync --config config.yaml")
    return base


@pytest.mark.slow
def test_short_commands_work(finished):
    for command in RUN:
        run(finished, here(command))
    drawn = {path.name for path in (finished / "docs" / "figures").iterdir()}
    assert drawn == {"threat_model.svg", "divergence.svg", "certificate.svg"}


@pytest.mark.slow
@pytest.mark.parametrize("page", CODE)
def test_the_code_of_a_page_works(finished, page):
    code = "\n".join(blocks(ROOT / page, "python"))
    assert code
    variables = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{finished / 'mlflow.db'}"}
    answer = subprocess.run(
        [sys.executable, "-c", here(code)],
        cwd=finished,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    if page == "README.md":
        assert "alpha" in answer.stdout
        assert answer.stdout.count("no event's posterior probability moves by more than") == 2
