"""Every command of docs/using_models.md, on a small study with the names of the default one."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from documented import STUDY, run
from in_process import run_study
from served import free_port, running

from certibayes.config.selection import Selection

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "using_models.md"


def blocks():
    text = PAGE.read_text().replace("n200000", "n1000")
    return re.findall(r"^```(python|bash|yaml)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_every_command_of_the_page_works(tmp_path, template, monkeypatch, capsys):
    base = tmp_path
    shutil.copy(template, base / "mlflow.db")
    monkeypatch.setenv("CERTIBAYES_BASE", str(base))
    monkeypatch.chdir(base)
    run_study(base, STUDY | {"tracking": {"mode": "off"}})
    (base / "config.yaml").write_text(yaml.safe_dump(STUDY))
    found = blocks()
    assert [kind for kind, _ in found].count("python") == 4
    server, port = None, free_port()
    for kind, code in found:
        code = code.replace("5001", str(port))
        if "models serve" in code:
            server = code
        elif "urllib" in code:
            with running(server, port, base):
                exec(code, {})
            assert "shift_counts" in capsys.readouterr().out
        elif kind == "python":
            exec(code, {})
        elif kind == "yaml":
            assert Selection.model_validate(yaml.safe_load(code)["selection"]) == Selection()
        else:
            run(base, code)
    assert server is not None
