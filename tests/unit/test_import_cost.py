"""What `import certibayes` and `certibayes --help` must not pay for."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "mlflow", "nflows", "pandas", "sklearn", "scipy", "matplotlib", "snakemake")
HELP = """
from certibayes.cli import main
try:
    main(["--help"])
except SystemExit as end:
    assert end.code == 0
"""


def modules_after(code):
    code += "\nimport sys\nprint('modules:', *sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return set(answer.stdout.rpartition("modules:")[2].split())


@pytest.mark.parametrize(
    ("code", "more"), [("import certibayes", ("pydantic", "numpy")), (HELP, ("pydantic", "numpy"))]
)
def test_imports_nothing_heavy(code, more):
    loaded = modules_after(code)
    assert "certibayes" in loaded
    assert loaded.isdisjoint({*HEAVY, *more})


def test_reading_a_study_imports_nothing_heavy():
    loaded = modules_after("from certibayes.config import load")
    assert "pydantic" in loaded
    assert loaded.isdisjoint(HEAVY)
