"""What a valid study stands for, and what its parts must agree on."""

import json
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from test_config import SHIFT, STUDY, load_changed

from certibayes.config import ConfigError, json_schema, load
from certibayes.config.jobs import base_models, gather_jobs, model_jobs
from certibayes.config.tasks import GaussianLinear


def test_a_good_study_has_the_jobs_it_names(tmp_path):
    study = load_changed(tmp_path, ("seed",), 3)
    assert len(model_jobs(study)) == 5
    assert len(base_models(study)) == 3
    assert {job.task: job.shards for job in gather_jobs(study)} == {
        "gaussian_linear": GaussianLinear().shards(60_000),
        "digits": 1,
    }


def test_the_schema_is_json_and_forbids_unknown_keys():
    schema = json.loads(json.dumps(json_schema()))
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["PGD"]["additionalProperties"] is False


def test_experiments_on_one_model_agree_on_its_evaluation(tmp_path):
    study = yaml.safe_load(yaml.safe_dump(STUDY))
    study["experiments"].append({**study["experiments"][0], "evaluation": {"observations": 7}})
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    with pytest.raises(ConfigError, match=r"experiments\.2\.evaluation: .* one evaluation for all"):
        load(path)


def test_the_schema_of_the_docs_is_current():
    stored = Path(__file__).parents[2] / "docs" / "config.schema.json"
    assert json.loads(stored.read_text()) == json_schema()


@pytest.mark.parametrize(
    ("estimator", "allowed"),
    [
        ({"kind": "gaussian", "covariance": "diagonal"}, True),
        ({"kind": "mixture", "components": 3, "covariance": "full"}, True),
        ({"kind": "maf"}, False),
    ],
)
def test_closed_forms_are_for_families_that_have_one(tmp_path, estimator, allowed):
    data = deepcopy(STUDY)
    data["models"]["gaussian"]["estimator"] = estimator
    data["certificates"]["shift"] = SHIFT | {"bounds": "closed_form"}
    data["experiments"][0]["certificates"] = ["shift"]
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(data))
    if allowed:
        shift = load(file).certificates["shift"]
        assert (shift.stated_draws, shift.stated_interval) == (0, "deterministic")
        return
    with pytest.raises(ConfigError, match=r"'shift' with bounds: closed_form and the 'maf'"):
        load(file)
