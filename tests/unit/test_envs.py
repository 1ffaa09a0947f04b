from pathlib import Path

import pytest

from certibayes.commands.envs import differences, environment_text, parse_lock

ROOT = Path(__file__).parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text()
LOCK = (ROOT / "requirements.lock").read_text()
ENVIRONMENT = (ROOT / "envs" / "certibayes.yaml").read_text()


def test_lock_and_environment_agree_with_pyproject():
    assert differences(PYPROJECT, LOCK, ENVIRONMENT) == []


def test_the_makefile_installs_the_torch_of_pyproject():
    assert '"torch==2.13.0"' in PYPROJECT
    assert "TORCH := torch==2.13.0\n" in (ROOT / "Makefile").read_text()


def test_the_environment_has_runtime_pins_torch_and_the_package_but_no_tools():
    assert '"torch==2.13.0"' in ENVIRONMENT
    assert '"certibayes @ file://${CERTIBAYES_SOURCE}"' in ENVIRONMENT
    assert f'"snakemake=={parse_lock(LOCK)["snakemake"]}"' in ENVIRONMENT
    assert "pytest" not in ENVIRONMENT


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("nflows==0.14", "nflows==0.13", "requirements.lock: nflows: got 0.13; allowed: ==0.14"),
        ("nflows==0.14\n", "", "requirements.lock: nflows: got nothing; allowed: nflows==0.14"),
        (
            "nflows==0.14\n",
            "nflows==0.14\ntriton==3.0\n",
            "requirements.lock: triton: got 3.0; allowed: nothing, it belongs to torch's build",
        ),
    ],
)
def test_a_lock_that_disagrees_is_named(old, new, finding):
    assert finding in differences(PYPROJECT, LOCK.replace(old, new), ENVIRONMENT)


def test_a_changed_pin_without_a_new_environment_is_named():
    lock = LOCK.replace("nflows==0.14", "nflows==0.15")
    assert any(
        "envs/certibayes.yaml: differs" in f for f in differences(PYPROJECT, lock, ENVIRONMENT)
    )
    assert environment_text(PYPROJECT, lock) == ENVIRONMENT.replace("nflows==0.14", "nflows==0.15")
