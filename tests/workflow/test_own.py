"""A user's own simulator and own pairs, as docs/own_simulator.md shows them."""

import re
import shutil
import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import yaml
from in_process import run_study
from test_reruns import edit, touch_outputs

from certibayes.io import read_json
from certibayes.report.invariants import broken
from conftest import STUDY

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "own_simulator.md"
EXAMPLES = ROOT / "docs" / "examples"
COUNTER = """
counted = simulate


def simulate(theta):
    with open("calls", "a") as calls:
        calls.write(".")
    return counted(theta)
"""


def commands(page):
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [line.split() for block in blocks for line in block.splitlines()]


@pytest.mark.slow
def test_every_command_of_the_page_runs(project):
    for name in ("docs", "studies"):
        shutil.copytree(ROOT / name, project.folder / name)
    found = commands(PAGE)
    assert len(found) == 5
    for command in found:
        module = ["-m", "certibayes"] if command[0] == "certibayes" else []
        with project.start_command(sys.executable, *module, *command[1:]) as process:
            output, _ = process.communicate(timeout=500)
        assert process.returncode == 0, output
    for study in ("own", "own_pairs"):
        table = (project.folder / "results" / study / "summary.csv").read_text()
        assert "ball" in table
    log = (project.folder / "logs/own/ball/simulate/shard0/simulate.log").read_text()
    assert "docs/examples/my_model.py: convention single_numpy; x_shape (8,)" in log


def test_the_page_shows_the_examples():
    page = PAGE.read_text()
    for name, parts in {"my_model.py": 2, "write_pairs.py": 3}.items():
        lines = [line for line in (EXAMPLES / name).read_text().splitlines() if line in page]
        assert len([line for line in lines if line]) >= parts
    for study in ("own", "own_pairs"):
        values = yaml.safe_load((ROOT / "studies" / f"{study}.yaml").read_text())
        for key, value in values["tasks"]["ball"].items():
            assert key in page
            assert str(value) in page


def small(tasks):
    study = deepcopy(STUDY)
    study["tracking"] = {"mode": "off"}
    study["evaluation"] = study.get("evaluation", {}) | {"predictive_draws": 0}
    study["tasks"] = tasks
    experiment = study["experiments"][0] | {"defenses": ["none", "fisher"], "budget": 200}
    study["experiments"] = [experiment | {"task": task} for task in tasks]
    return study


def test_file_and_folder_lead_to_a_report_and_later_stages_do_not_simulate(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_model.py").write_text((EXAMPLES / "my_model.py").read_text() + COUNTER)
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(300, 2))
    theta[:, 1] = np.exp(theta[:, 1])
    x = theta @ rng.normal(size=(2, 4)) + rng.normal(size=(300, 4))
    x[5, 2] = np.nan
    (tmp_path / "pairs").mkdir()
    np.savez(tmp_path / "pairs" / "mine.npz", theta=theta.astype(np.float32), x=x)
    np.save(tmp_path / "pairs" / "observed.npy", x[:2])
    tasks = {
        "ball": {"file": "my_model.py", "test_pairs": 20, "rows_per_shard": 100},
        "mine": {"folder": "pairs", "test_pairs": 20},
    }
    layout = run_study(tmp_path, small(tasks))
    assert broken(layout.root / "invariants.json") == []
    simulated = 2 * 100 + 20 + 200
    attempts = len((tmp_path / "calls").read_text()) - simulated
    assert 0 < attempts < 200
    targets = np.load(layout.root / "mine/simulate/shard0/target.npy")
    np.testing.assert_array_equal(targets, theta[:-20].astype(np.float32))
    counts = read_json(layout.root / "mine/simulate/reference/failures.json")
    assert counts["training"]["failed"] == 1
    reference = np.load(layout.root / "mine/simulate/reference/test.npz")
    np.testing.assert_array_equal(reference["x"], x[-20:])
    np.testing.assert_array_equal(reference["observed"], x[:2])
    ball = np.load(layout.root / "ball/simulate/reference/test.npz")
    assert ball["observed"].shape == (1, 8)


def test_a_changed_line_of_the_simulator_re_runs_a_comment_does_not(project):
    project.copy_package()
    script, folder = project.folder / "my_model.py", project.folder / "pairs"
    shutil.copy(EXAMPLES / "my_model.py", script)
    (project.folder / "helper.py").write_text("VALUE = 1\n")
    edit(script, "import numpy as np\n", "import helper\nimport numpy as np\n")
    folder.mkdir()
    np.savez(folder / "mine.npz", theta=np.zeros((300, 2)), x=np.zeros((300, 4)))
    tasks = {
        "ball": {"file": "my_model.py", "rows_per_shard": 100, "test_pairs": 20},
        "mine": {"folder": "pairs", "test_pairs": 20},
    }
    project.study = small(tasks)
    project.write()
    everything = project.planned()
    assert (everything["simulate"], everything["gather"]) == (3, 2)
    touch_outputs(project)
    assert project.planned() == {}
    edit(script, "import helper\n", "import helper  # a comment\n")
    assert project.planned() == {}
    edit(project.folder / "helper.py", "1", "2")
    of_ball = project.planned()
    assert (of_ball["simulate"], of_ball["train"], of_ball["evaluate"]) == (2, 1, 2)
    edit(project.folder / "helper.py", "2", "1")
    assert project.planned() == {}
    np.savez(folder / "mine.npz", theta=np.ones((300, 2)), x=np.zeros((300, 4)))
    of_pairs = project.planned()
    assert (of_pairs["simulate"], of_pairs["train"], of_pairs["evaluate"]) == (1, 1, 2)


def test_a_faulty_file_ends_its_job_in_one_line(project):
    (project.folder / "my_model.py").write_text("import torch\nraise ValueError('no')\n")
    project.study = small({"ball": {"file": "my_model.py", "test_pairs": 20}})
    project.write()
    code, output = project.snakemake()
    assert code != 0
    assert "my_model.py, line 2: running the file: ValueError: no" in output
    assert "Traceback" not in output
