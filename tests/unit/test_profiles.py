import re
import signal
from pathlib import Path

import pytest
import yaml

from certibayes.commands.run import job_options
from certibayes.config import ConfigError

ROOT = Path(__file__).parents[2]


def profile(name):
    return yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())


def test_every_rule_asks_for_memory_and_time_that_grow_with_the_attempt():
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    stages = profile("slurm")["set-resources"]
    assert set(stages) == set(re.findall(r"^rule (\w+):", text, re.MULTILINE))
    for resources in stages.values():
        assert set(resources) == {"mem_mb", "runtime"}
        for value in resources.values():
            assert re.fullmatch(r"\d+ \* attempt", value)


def test_the_cluster_differs_from_one_machine_only_in_where_jobs_run():
    assert profile("default").items() <= profile("slurm").items()


def test_every_setting_of_the_cluster_is_documented():
    page = (ROOT / "docs" / "cluster.md").read_text()
    missing = {key for key in profile("slurm").keys() - profile("default") if key not in page}
    assert missing == set()


def test_a_profile_decides_the_cores_unless_they_are_stated(tmp_path):
    assert job_options(None, None) == (["--cores", "all"], signal.SIGTERM)
    assert job_options(None, "2") == (["--cores", "2"], signal.SIGTERM)
    with pytest.raises(ConfigError, match=r"--profile: got .*; allowed: a folder with"):
        job_options(tmp_path, None)
    (tmp_path / "config.yaml").touch()
    chosen = ["--workflow-profile", str(tmp_path)]
    assert job_options(tmp_path, None) == (chosen, signal.SIGINT)
    assert job_options(tmp_path, "8") == ([*chosen, "--cores", "8"], signal.SIGINT)
