"""The example of docs/audit.md, as it stands there, and its table of options."""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from certibayes.commands import audit

PAGE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def test_the_page_names_every_option():
    parser = argparse.ArgumentParser(add_help=False)
    audit.add_arguments(parser)
    options = {name for action in parser._actions for name in action.option_strings}
    table = PAGE.partition("## Options")[2].partition("##")[0]
    assert set(re.findall(r"`(--[a-z-]+)", table)) == options


@pytest.mark.slow
def test_the_example_runs(tmp_path):
    (_, module), (_, commands) = BLOCK.findall(PAGE)
    (tmp_path / "line.py").write_text(module)
    folder = str(Path(sys.executable).parent)
    environment = os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    shell = ["bash", "-euc", commands]
    done = subprocess.run(
        shell, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "line_audit" / "audit.json").read_text())
    assert record["posterior"]["gradients"]
    coverage = record["clean"]["coverage"]["stated"]["0.9"]["interval_95"]
    assert coverage[0] <= 0.9 <= coverage[1]
    assert record["attacks"][-1]["total_variation_quantiles"][1] > 0.2
