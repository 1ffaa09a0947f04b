from pathlib import Path

import pytest

from certibayes.commands import run
from certibayes.config import ConfigError


def test_the_workflow_of_the_current_folder_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = Path(__file__).parents[2] / "Snakefile"
    assert run.snakefile() == here
    (tmp_path / "Snakefile").touch()
    assert run.snakefile() == Path("Snakefile")


def test_a_package_without_its_sources_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "__file__", str(tmp_path / "a" / "b" / "c" / "run.py"))
    with pytest.raises(ConfigError, match=r"Snakefile: got nothing in .*; allowed: a folder"):
        run.snakefile()
