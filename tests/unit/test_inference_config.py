"""Which defenses and trainings a study file may give a way of inferring weights."""

from copy import deepcopy

import pytest
import yaml

from certibayes.config import ConfigError, load
from certibayes.config.jobs import model_jobs

BALL = {"norm": "linf", "unit": "raw", "epsilon": 0.1}
STUDY = {
    "study": "inference",
    "models": {"network": {"network": {"kind": "mlp"}, "training": {"epochs": 40}}},
    "defenses": {"robust": {"kind": "robust_likelihood", "perturbation": BALL}},
    "experiments": [{"task": "digits", "budget": 1000, "model": "network", "defenses": ["robust"]}],
}


@pytest.fixture
def read(tmp_path):
    def function(inference, **changes):
        study = deepcopy(STUDY)
        study["models"]["network"]["inference"] = inference
        study["defenses"]["robust"] |= changes
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(study))
        return load(path)

    return function


PLACE = r"experiments\.0\.defenses: got 'robust'"


@pytest.mark.parametrize(
    ("kind", "training", "message"),
    [
        ("swag", {"patience": 3}, r"training\.patience: got 3; allowed .* 'swag': null"),
        ("hmc", {"epochs": 8}, r"training\.epochs: got 8, which leaves 4 .* chains = 8"),
    ],
)
def test_a_defenses_own_training_must_suit_the_inference(read, kind, training, message):
    with pytest.raises(ConfigError, match=f"{PLACE} and the model 'network' .*{message}"):
        read({"kind": kind}, training=training)


def test_a_defenses_own_training_replaces_the_models(read):
    (job,) = model_jobs(read({"kind": "hmc"}, training={"epochs": 60}))
    assert job.model_spec.training.epochs == 60
    assert job.model_spec.inference.kind == "hmc"
    assert job.defense_spec.training is None


@pytest.mark.parametrize("ramp", ["ramp_fraction", "weight_ramp_fraction"])
def test_iterates_are_of_the_objective_at_full_strength(read, ramp):
    message = f"{PLACE}, whose ramps last 0.9 .* allowed: inference.start of at least 0.9"
    with pytest.raises(ConfigError, match=message):
        read({"kind": "swag"}, **{ramp: 0.9})
    assert read({"kind": "swag", "start": 0.9}, **{ramp: 0.9})
