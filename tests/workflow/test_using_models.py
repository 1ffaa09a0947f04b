"""Every command of docs/using_models.md, on a small study with the names of the default one."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from in_process import run_study
from served import environment, free_port, running

from certibayes.config.selection import Selection

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "using_models.md"
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


def run(base, code):
    answer = subprocess.run(
        ["bash", "-ec", code], cwd=base, env=environment(base), capture_output=True, text=True
    )
    assert answer.returncode == 0, f"{code}\n{answer.stdout}\n{answer.stderr}"
