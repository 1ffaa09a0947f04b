"""Parts of a study."""

import pytest
import yaml
from test_config import STUDY

from certibayes.config import ConfigError, load
from certibayes.config.jobs import gather_jobs, model_jobs
from certibayes.config.parts import part_of


@pytest.fixture
def study(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(STUDY))
    return load(file)


def keys(study):
    return {(job.task, job.defense, job.seed) for job in model_jobs(study)}


def test_no_condition_is_the_whole_study(study):
    assert part_of(study, []) == study


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (["task=digits"], {("digits", "none", 0)}),
        (["budget=60000", "seed=1", "defense=fisher"], {("gaussian_linear", "fisher", 1)}),
        (["defense=fisher"], {("gaussian_linear", "fisher", k) for k in (0, 1)}),
        (["seed=0", "model=bnn,gaussian", "defense=none"], None),
    ],
)
def test_conditions_hold_together(study, conditions, expected):
    found = keys(part_of(study, conditions))
    assert found == (expected or {("digits", "none", 0), ("gaussian_linear", "none", 0)})


def test_a_part_simulates_for_its_tasks_alone(study):
    assert [job.task for job in gather_jobs(part_of(study, ["task=digits"]))] == ["digits"]


def test_a_size_chooses_the_experiments_that_carry_it(study):
    first, *rest = study.experiments
    sized = study.model_copy(
        update={"experiments": (first.model_copy(update={"size": "laptop"}), *rest)}
    )
    assert [one.size for one in part_of(sized, ["size=laptop"]).experiments] == ["laptop"]
    with pytest.raises(ConfigError, match="got size=gpu; allowed: laptop"):
        part_of(sized, ["size=gpu"])


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (["tasks=digits"], "part: got 'tasks=digits'; allowed: key=value.*task, budget"),
        (["task="], "part: got 'task='"),
        (["seed=7"], "part: got seed=7; allowed: 0, 1"),
        (["task=digits", "seed=1"], "part: got task=digits seed=1, which no experiment meets"),
    ],
)
def test_refusals_name_what_is_allowed(study, conditions, message):
    with pytest.raises(ConfigError, match=message):
        part_of(study, conditions)
