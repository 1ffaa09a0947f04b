import shutil

import pytest
from own_files import write

from certibayes.config.jobs import GatherJob
from certibayes.config.simulators.own import OwnSimulator
from certibayes.digest import code_digest
from certibayes.script_digest import digest_of_script, local_modules

FILES = {
    "my_model.py": "import numpy\nfrom helpers import core\ndef simulate(t):\n    import late\n",
    "helpers/__init__.py": "",
    "helpers/core.py": "from . import deep\nfrom .deep import f\n",
    "helpers/deep.py": "def f():\n    return 1\n",
    "helpers/unused.py": "",
    "late.py": '"""Text."""\nVALUE = 1\n',
    "other.py": "VALUE = 1\n",
}
REACHED = {"my_model", "helpers", "helpers.core", "helpers.deep", "late"}


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "one"
    (root / "helpers").mkdir(parents=True)
    for name, code in FILES.items():
        write(root, code, name)
    return root


def test_modules_beside_the_file_are_followed_and_no_others(folder):
    assert set(local_modules(folder / "my_model.py")) == REACHED


@pytest.mark.parametrize("name", FILES)
def test_code_counts_where_it_is_reached_comments_nowhere(folder, name):
    before = digest_of_script(folder / "my_model.py")
    path = folder / name
    path.write_text(f'"""Another text."""\n# a comment\n{path.read_text()}\n')
    assert digest_of_script(folder / "my_model.py") == before
    path.write_text(f"{path.read_text()}\nMORE = 2\n")
    reached = ".".join(name.removesuffix(".py").removesuffix("/__init__").split("/")) in REACHED
    assert (digest_of_script(folder / "my_model.py") != before) == reached


def test_where_the_folder_lies_does_not_matter(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "two")
    first, second = (digest_of_script(tmp_path / one / "my_model.py") for one in ("one", "two"))
    assert first == second


def test_a_file_that_is_no_code_counts_by_its_bytes(folder):
    before = digest_of_script(folder / "my_model.py")
    write(folder, "def (", "late.py")
    broken = digest_of_script(folder / "my_model.py")
    assert broken != before
    write(folder, "def ((", "late.py")
    assert digest_of_script(folder / "my_model.py") != broken


def test_a_job_of_the_task_depends_on_it(folder):
    spec = OwnSimulator(file=str(folder / "my_model.py"))
    job = GatherJob(study="s", study_seed=0, task="mine", task_spec=spec, shards=1)
    before = code_digest(job)
    write(folder, "VALUE = 2\n", "late.py")
    assert code_digest(job) != before
