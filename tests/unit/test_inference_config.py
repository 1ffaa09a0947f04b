"""Which defenses and trainings a study file may give a way of inferring weights."""

from copy import deepcopy

import pytest
import yaml

from certibayes.config import ConfigError, load
from certibayes.config.inference import HMCInference
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
        study["defenses"]["robust"] = changes.pop("defense", study["defenses"]["robust"]) | changes
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(study))
        return load(path)

    return function


PLACE = r"experiments\.0\.defenses: got 'robust'"


@pytest.mark.parametrize(
    ("kind", "training", "message"),
    [
        ("swag", {"patience": 3}, r"training\.patience: got 3; allowed .* 'swag': null"),
        ("hmc", {"epochs": 4}, r"training\.epochs: got 4, which leaves 2 .* chains = 8"),
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


def test_a_ramp_over_all_of_training_leaves_nothing_to_collect(read):
    message = "whose ramps last 1.0 .* allowed: ramp_fraction and weight_ramp_fraction up to"
    with pytest.raises(ConfigError, match=message):
        read({"kind": "swag"}, preset="wicker2021", perturbation={"epsilon": 0.1})
    assert read({"kind": "swag"}, preset="wicker2021", ramp_fraction=0.75)


@pytest.mark.parametrize(("name", "value"), [("every", 4), ("share", 0.5)])
def test_hmc_has_one_objective_and_cannot_leave_some_examples_without_penalty(read, name, value):
    fisher = {"kind": "fisher", "beta": 0.1}
    with pytest.raises(ConfigError, match=f"{PLACE} with {name} {value} and the 'hmc' .*{name} 1$"):
        read({"kind": "hmc"}, defense={**fisher, name: value})
    assert read({"kind": "hmc"}, defense=fisher)
    assert read({"kind": "bbb"}, defense={**fisher, name: value})


def test_a_chain_is_long_enough_for_r_hat(read):
    few = {"kind": "hmc", "chains": 4, "stored_samples": 4}
    with pytest.raises(ConfigError, match=r"got 6, which leaves 3 .* at least 4, two in each half"):
        read(few, training={"epochs": 6})
    assert read(few, training={"epochs": 8})


def test_some_trajectories_adapt_the_step_size():
    assert HMCInference(warmup=0.04).warmup_of(20) == 1


@pytest.mark.parametrize(
    ("inference", "defense", "message"),
    [
        (
            {"kind": "map"},
            {"warmup_weight": 0.5, "ramp_fraction": 0.0},
            r"warmup_weight: got 0\.5 with ramp_fraction: 0",
        ),
        (
            {"kind": "vogn", "initial_std": 1e-30},
            {},
            r"initial_std: got 1e-30; allowed: greater than or equal to 0",
        ),
    ],
)
def test_settings_without_effect_or_meaning_are_refused(read, inference, defense, message):
    with pytest.raises(ConfigError, match=message):
        read(inference, **defense)
