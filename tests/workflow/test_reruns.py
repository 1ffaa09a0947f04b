import re

import pytest
import yaml

from certibayes.config.tasks import GaussianLinearSbibm

FUTURE = "from __future__ import annotations\n"
EXTRA = f"{FUTURE}\n_EDITED = True\n"
ALL = {
    "simulate": 1,
    "gather": 1,
    "train": 1,
    "retrain": 2,
    "attack": 6,
    "certify": 3,
    "evaluate": 3,
    "report": 1,
    "all": 1,
}


@pytest.fixture
def finished(project):
    """A project whose outputs stand in the place of a finished study's, provenance recorded."""
    package = project.copy_package()
    project.study["tracking"]["mode"] = "off"
    project.write()
    touch_outputs(project)
    return project, package


def touch_outputs(project):
    """Make an empty file or folder of every output and record its provenance."""
    code, output = project.snakemake("--dry-run", "--quiet", "host")
    assert code == 0, output
    for line in re.findall(r"^    output: (.*)$", output, re.MULTILINE):
        for name in line.split(", "):
            path = project.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("/report"):
                path.mkdir()
            else:
                path.touch()
    code, output = project.snakemake("--touch", "--forceall")
    assert code == 0, output
    assert project.planned() == {}


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_new_project_plans_every_job_once(project):
    assert project.planned() == ALL


def test_edited_code_re_runs_what_it_decides(finished):
    project, package = finished
    pgd, interval = package / "attacks" / "pgd.py", package / "bounds" / "interval.py"
    edit(pgd, FUTURE, f"# a comment\n{FUTURE}")
    assert project.planned() == {}
    edit(pgd, FUTURE, EXTRA)
    assert project.planned() == {"attack": 3, "evaluate": 3, "report": 1, "all": 1}
    edit(pgd, EXTRA, FUTURE)
    edit(interval, FUTURE, EXTRA)
    expected = {"retrain": 1, "attack": 2, "certify": 3, "evaluate": 3, "report": 1, "all": 1}
    assert project.planned() == expected


def test_edited_values_re_run_what_they_decide(finished):
    project, _ = finished
    study = yaml.safe_load(yaml.safe_dump(project.study))
    project.study["tracking"]["mode"] = "strict"
    project.write()
    assert project.planned() == {}
    project.study["attacks"]["noise"]["perturbation"]["epsilons"] = [0.1, 0.2]
    project.write()
    assert project.planned() == {"attack": 3, "evaluate": 3, "report": 1, "all": 1}
    project.study = yaml.safe_load(yaml.safe_dump(study))
    project.study["attacks"]["pgd"]["adaptive"] = {"checks": ["more_steps"]}
    project.write()
    assert project.planned() == {"attack": 3, "evaluate": 3, "report": 1, "all": 1}
    project.study = study
    larger = {
        **study["experiments"][0],
        "budget": GaussianLinearSbibm.SHARD_SIZE + 1,
        "defenses": ["none"],
    }
    study["experiments"].append(larger)
    project.write()
    assert project.planned() == {
        "simulate": 1,
        "gather": 1,
        "train": 1,
        "attack": 2,
        "certify": 1,
        "evaluate": 1,
        "report": 1,
        "all": 1,
    }
