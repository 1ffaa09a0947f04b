"""Which ways of bounding a robust likelihood a study file may ask for, and of which models."""

from copy import deepcopy

import pytest
import yaml

from certibayes import registry
from certibayes.config import ConfigError, load
from certibayes.config.defenses import READ_WITH, RobustLikelihood
from certibayes.config.jobs import model_job, model_jobs
from certibayes.digest import closure

BALL = {"norm": "l2", "unit": "feature_std", "epsilon": 0.1}
STUDY = {
    "study": "worst_cases",
    "models": {
        "flow": {"estimator": {"kind": "nsf"}},
        "many": {"estimator": {"kind": "maf"}, "members": 2},
        "network": {"network": {"kind": "mlp"}},
    },
    "defenses": {"robust": {"kind": "robust_likelihood", "perturbation": BALL}},
    "experiments": [{"task": "two_moons", "budget": 1000, "model": "flow", "defenses": ["robust"]}],
}


@pytest.fixture
def read(tmp_path):
    def function(model="flow", sweep=None, **changes):
        study = deepcopy(STUDY)
        study["defenses"]["robust"] |= changes
        study["experiments"][0]["model"] = model
        if model == "network":
            study["experiments"][0]["task"] = "digits"
        if sweep is not None:
            study["sweeps"] = {"strength": {"defense": "robust", **sweep}}
            study["experiments"][0]["sweeps"] = ["strength"]
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(study))
        return load(path)

    return function


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("bounds", registry.names("worst_case"))
@pytest.mark.parametrize("model", ["flow", "many"])
def test_every_bound_is_one_line(read, model, bounds, norm):
    study = read(model, bounds=bounds, perturbation=BALL | {"norm": norm})
    assert study.defenses["robust"].bounds == bounds


@pytest.mark.parametrize("bounds", ["interval", "crown_ibp", "attack", "mixed"])
def test_classifiers_have_all_but_the_shared_adversary(read, bounds):
    assert read("network", bounds=bounds).defenses["robust"].bounds == bounds


REFUSED = (
    r"experiments\.0\.defenses: got '{}' with bounds: shared_adversary and the classifier "
    r"'network', which has no posterior over theta; allowed bounds: "
    "interval, crown_ibp, attack, mixed"
)


def test_a_shared_adversary_of_a_classifier_is_refused(read):
    with pytest.raises(ConfigError, match=REFUSED.format("robust")):
        read("network", bounds="shared_adversary")


def test_a_swept_shared_adversary_of_a_classifier_is_refused(read):
    sweep = {"parameter": "bounds", "values": ["interval", "shared_adversary"]}
    with pytest.raises(ConfigError, match=REFUSED.format("robust_bounds_shared_adversary")):
        read("network", sweep)


@pytest.mark.parametrize("bounds", ["crown_ibp", "shared_adversary"])
def test_linear_bounds_are_refused_only_without_a_graph(read, bounds, monkeypatch):
    read(bounds=bounds)
    monkeypatch.delitem(registry.REGISTRY["log_density_graph"], "nsf")
    read(bounds="interval")
    with pytest.raises(ConfigError, match=rf"bounds: {bounds} and the 'nsf' estimator of 'flow'"):
        read(bounds=bounds)


@pytest.mark.parametrize("bounds", registry.names("worst_case"))
@pytest.mark.parametrize(("name", "only"), READ_WITH.items())
def test_a_key_that_the_bounds_do_not_read_is_refused(read, bounds, name, only):
    value = 3 if name in ("steps", "draws") else 0.3
    if bounds in only:
        assert getattr(read(bounds=bounds, **{name: value}).defenses["robust"], name) == value
        return
    allowed = rf"defenses\.robust\.{name}: got {value} with bounds: {bounds}; allowed: only with"
    with pytest.raises(ConfigError, match=rf"{allowed} bounds: {', '.join(only)}"):
        read(bounds=bounds, **{name: value})


def test_an_unknown_way_is_refused(read):
    with pytest.raises(ConfigError, match=r"defenses\.robust\.bounds: got 'crown'; allowed: 'inte"):
        read(bounds="crown")


@pytest.mark.parametrize(
    ("bounds", "parameter", "values"),
    [
        ("interval", "clean_weight", [0.1, 0.9]),
        ("crown_ibp", "perturbation.epsilon", [0.01, 0.3]),
        ("mixed", "bound_weight", [0.0, 0.01, 1.0]),
        ("mixed", "weight_ramp_fraction", [0.25]),
        ("shared_adversary", "beta", [0.5, 4]),
        ("shared_adversary", "draws", [2, 16]),
        ("interval", "bounds", ["crown_ibp", "mixed", "shared_adversary"]),
    ],
)
def test_every_strength_sweeps(read, bounds, parameter, values):
    sweep = {"parameter": parameter, "values": values}
    jobs = model_jobs(read("many", sweep, bounds=bounds))
    swept = [job.defense_spec for job in jobs if job.defense != "robust"]
    place = [spec.perturbation if "." in parameter else spec for spec in swept]
    assert [getattr(spec, parameter.rpartition(".")[2]) for spec in place] == values
    assert all(isinstance(spec, RobustLikelihood) for spec in swept)


@pytest.mark.parametrize("bounds", registry.names("worst_case"))
def test_a_job_depends_on_its_own_way_alone(read, bounds):
    (job,) = model_jobs(read("many", bounds=bounds))
    found = {m for m in closure(model_job(job)) if "defenses.worst_case_" in m}
    both = bounds in ("mixed", "crown_ibp")
    of_both = {"certibayes.defenses.worst_case_interval"} if both else set()
    assert found == {f"certibayes.defenses.worst_case_{bounds}"} | of_both
    assert "certibayes.estimators.ensemble_graph" in closure(model_job(job))


def test_ramps_and_densities_that_make_no_sense_are_refused(read):
    with pytest.raises(ConfigError, match=r"ramp_start: got 0\.5; allowed: below ramp_fraction"):
        read(ramp_start=0.5)
    with pytest.raises(ConfigError, match=r"epsilon_draws: got 3 with epsilon_density: two_atom"):
        read(epsilon_draws=3)
    assert read(epsilon_draws=3, epsilon_density="rayleigh").defenses["robust"].epsilon_draws == 3


def test_the_warm_up_of_an_estimator_is_refused(read):
    with pytest.raises(ConfigError, match=r"with warmup_weight 0\.5 and the estimator 'flow'"):
        read(warmup_weight=0.5)
    read("network", warmup_weight=0.5)
