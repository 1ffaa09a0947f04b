"""How jobs learn where data sets lie."""

import os

import pytest
import yaml
from snakemake.exceptions import WorkflowError

from certibayes.workflow.start import load_plan
from conftest import STUDY


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Return a function that reads a study with a data root as the Snakefile does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CERTIBAYES_TRACKING", "")
    monkeypatch.setenv("CERTIBAYES_DATA", "")
    (tmp_path / "data").mkdir()

    def read(data_root):
        values = {**STUDY, "data_root": data_root}
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(values))
        load_plan(tmp_path, ["study.yaml"], values)
        return os.environ["CERTIBAYES_DATA"]

    return read


def test_a_data_root_is_taken_from_the_workflows_folder(start, tmp_path):
    assert start("data") == str(tmp_path / "data")


def test_the_environment_goes_before_the_study(start, monkeypatch):
    monkeypatch.setenv("CERTIBAYES_DATA", "/elsewhere")
    assert start("data") == "/elsewhere"
    assert start("nowhere") == "/elsewhere"


def test_without_a_data_root_nothing_is_set(start):
    assert start(None) == ""


def test_a_data_root_that_is_no_folder_is_refused(start, tmp_path):
    with pytest.raises(WorkflowError, match=f"data_root: got 'nope', which is {tmp_path}/nope;"):
        start("nope")


def test_an_empty_data_root_is_refused(start):
    with pytest.raises(WorkflowError, match="data_root: got ''"):
        start("")
