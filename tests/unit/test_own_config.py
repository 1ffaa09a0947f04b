import numpy as np
import pytest
from own_files import write
from test_config import load_changed, refused

from certibayes.config.jobs import model_jobs, simulate_job


def own(tmp_path, **values):
    return refused(tmp_path, ("tasks",), {"mine": values})


def test_the_key_names_the_kind(tmp_path):
    write(tmp_path, "prior = simulate = None\n")
    for values in ({}, {"kind": "file"}):
        task = {"file": str(tmp_path / "my_model.py"), **values}
        study = load_changed(tmp_path, ("tasks",), {"mine": task})
        assert study.task("mine").kind == "file"
        assert study.task("mine").shards(2_500) == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"file": "a.py", "shard": 3}, "tasks.mine.shard: got 'shard'; allowed: convention, "),
        ({"file": 3}, "tasks.mine.file: got 3; allowed: text"),
        ({"kind": "file"}, "tasks.mine.file: got nothing; allowed: this key is required"),
        ({"file": "a.py", "folder": "b"}, "tasks.mine.folder: got 'b' beside file; allowed: one"),
        ({"test_pairs": 3}, "tasks.mine.kind: got nothing; allowed: this key is required, or fil"),
        ({"file": "a.py", "convention": "x"}, "tasks.mine.convention: got 'x'; allowed: 'batched"),
        ({"file": "no.py"}, "tasks.mine.file: got 'no.py'; allowed: an existing file of Python"),
        ({"folder": "no"}, "tasks.mine.folder: got 'no', no such folder ("),
        ({"folder": "a", "lower": [1], "upper": [1.0]}, "tasks.mine.upper.0: got 1.0; allowed: "),
        ({"folder": "a", "lower": [1], "upper": [2, 3]}, "tasks.mine.upper: got 2 numbers; allow"),
        ({"kind": "sir", "file": "a.py"}, "tasks.mine.file: got 'file'; allowed: failures, kind"),
    ],
)
def test_findings_name_key_and_value_and_what_is_allowed(tmp_path, values, message):
    assert own(tmp_path, **values).startswith(message)


def test_a_task_that_is_called_like_a_kind(tmp_path):
    message = refused(tmp_path, ("tasks",), {"sir": {"kind": "hodgkin_huxley", "bad": 1}})
    assert message.startswith("tasks.sir.bad: got 'bad'; allowed: ")
    message = refused(tmp_path, ("tasks",), {"file": {"file": "a.py", "bad": 1}})
    assert message.startswith("tasks.file.bad: got 'bad'; allowed: convention")


def test_a_syntax_error_is_found_before_anything_runs(tmp_path):
    path = write(tmp_path, "import torch\nprior = (\n")
    message = own(tmp_path, file=str(path))
    assert message.endswith("allowed: a file of Python code; line 2: '(' was never closed")


def test_a_file_to_read_must_exist(tmp_path):
    path = write(tmp_path, "import torch\n")
    message = own(tmp_path, file=str(path), reads=[str(path), "no.csv"])
    assert message.startswith("tasks.mine.reads.1: got 'no.csv'; allowed: an existing file; ")


@pytest.mark.parametrize("key", ["file", "folder"])
def test_where_a_missing_path_was_looked_for_is_said(tmp_path, monkeypatch, key):
    monkeypatch.chdir(tmp_path)
    message = own(tmp_path, **{key: "mine/no"})
    assert message.startswith(f"tasks.mine.{key}: got 'mine/no'")
    assert f"{tmp_path}/mine/no" in message
    assert "relative to the folder in which the study runs" in message


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "theta.npy", np.zeros((800, 2)))
    np.save(tmp_path / "x.npy", np.zeros((800, 3)))
    return str(tmp_path)


def test_test_pairs_and_box_must_fit_the_pairs(tmp_path, folder):
    message = own(tmp_path, folder=folder)
    assert message.startswith("tasks.mine.test_pairs: got 1000; allowed: 1 to 799, fewer than")
    message = own(tmp_path, folder=folder, test_pairs=100, lower=[0])
    assert message == "tasks.mine.lower: got [0.0]; allowed: 2 numbers, one per parameter"


def test_a_budget_beyond_the_rows_is_refused(tmp_path, folder):
    tasks = {"gaussian_linear": {"folder": folder, "test_pairs": 100}}
    message = refused(tmp_path, ("tasks",), tasks)
    line = "experiments.0.budget: got 60000; allowed: 1 to 700, the rows of the data set"
    assert message.splitlines()[0] == line


def test_test_pairs_of_stored_pairs_decide_where_the_training_rows_end(tmp_path, folder):
    tasks = {"mine": {"folder": folder, "test_pairs": 100}}
    study = load_changed(tmp_path, ("tasks",), tasks)
    assert simulate_job(study, "mine", 0).task_spec.test_pairs == 100
    assert simulate_job(study, "mine", 0).task_spec.rows == 700
    assert model_jobs(study)


def test_observations_that_are_no_x_are_refused_before_anything_runs(tmp_path, folder):
    path = f"{folder}/observed.npy"
    np.save(path, np.zeros((2, 4)))
    message = own(tmp_path, folder=folder, test_pairs=100)
    wanted = f"tasks.mine.folder: {path}: got shape (2, 4); allowed: (m, 3) or (3,), as x"
    assert message.splitlines()[0] == wanted


def test_half_a_file_is_named_with_key_and_sizes(tmp_path, folder):
    path = tmp_path / "x.npy"
    path.write_bytes(path.read_bytes()[:9_728])
    message = own(tmp_path, folder=folder, test_pairs=100).splitlines()[0]
    got = "got 9728 bytes, a part of the file; allowed: 19328, for data type '<f8'"
    assert message.startswith(f"tasks.mine.folder: {path}: {got}")
