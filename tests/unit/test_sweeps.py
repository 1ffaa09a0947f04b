from copy import deepcopy

import pytest
import yaml

from certibayes.config import ConfigError, load
from certibayes.config.jobs import EvaluateJob, ReportJob, base_models, model_jobs, report_job
from certibayes.config.sweeps import curves_of, swept_name

BALL = {"norm": "linf", "unit": "feature_std", "epsilon": 0.1}
SEARCH = {"kind": "trades", "perturbation": BALL}
STUDY = {
    "study": "sweeping",
    "models": {"maf": {"estimator": {"kind": "maf"}}},
    "defenses": {
        "fisher": {"kind": "fisher", "beta": 0.5},
        "robust": {"kind": "robust_likelihood", "perturbation": BALL},
        "adversarial": {"kind": "adversarial", "perturbation": BALL},
        "trades": SEARCH,
        "noise": {"kind": "noise", "perturbation": BALL},
        "empirical": {"kind": "empirical", "beta": 0.1},
        "short": {**SEARCH, "training": {"epochs": 3}},
    },
    "sweeps": {
        "strength": {"defense": "fisher", "parameter": "beta", "values": [0.001, 0.01, 1]},
        "radius": {
            "defense": "robust",
            "parameter": "perturbation.epsilon",
            "values": [0.05, 0.2],
        },
    },
    "experiments": [
        {"task": "sir", "budget": 1000, "model": "maf", "sweeps": ["strength"]},
        {
            "task": "sir",
            "budget": 2000,
            "model": "maf",
            "defenses": ["none", "robust"],
            "sweeps": ["strength", "radius"],
        },
    ],
}


@pytest.fixture
def study():
    return deepcopy(STUDY)


@pytest.fixture
def read(tmp_path):
    def function(values):
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(values))
        return load(path)

    return function


@pytest.fixture
def refusal(read, tmp_path):
    def function(values):
        with pytest.raises(ConfigError) as caught:
            read(values)
        return str(caught.value).replace(f"{tmp_path}/study.yaml: ", "")

    return function


def test_every_value_is_a_defense_and_a_model(read, study):
    jobs = model_jobs(read(study))
    names = [(job.budget, job.defense) for job in jobs]
    strengths = ["fisher_beta_0p001", "fisher_beta_0p01", "fisher_beta_1"]
    radii = ["robust_epsilon_0p05", "robust_epsilon_0p2"]
    assert names == [(1000, name) for name in ("none", *strengths)] + [
        (2000, name) for name in ("none", "robust", *strengths, *radii)
    ]
    specs = {job.defense: job.defense_spec for job in jobs}
    assert [specs[name].beta for name in strengths] == [0.001, 0.01, 1.0]
    assert [specs[name].perturbation.epsilon for name in radii] == [0.05, 0.2]
    assert specs["robust"].perturbation.epsilon == 0.1
    assert specs["robust_epsilon_0p2"].clean_weight == specs["robust"].clean_weight


def test_a_further_value_adds_one_model_and_changes_no_other(read, study):
    before = model_jobs(read(study))
    study["sweeps"]["radius"]["values"].insert(0, 0.01)
    after = model_jobs(read(study))
    new = [job for job in after if job not in before]
    assert [job.defense for job in new] == ["robust_epsilon_0p01"]
    assert [job for job in after if job in before] == before
    assert base_models(read(study)) == base_models(read(STUDY))


def test_a_swept_defense_is_one_that_was_written_out(read, study):
    swept = {job.defense: job for job in model_jobs(read(study))}
    written = deepcopy(STUDY)
    del written["sweeps"]
    written["defenses"]["fisher_beta_0p01"] = {"kind": "fisher", "beta": 0.01}
    written["experiments"] = [{**STUDY["experiments"][0], "defenses": ["fisher_beta_0p01"]}]
    del written["experiments"][0]["sweeps"]
    (job,) = model_jobs(read(written))
    other = next(j for j in model_jobs(read(study)) if j.defense == job.defense)
    assert job.model_dump_json() == other.model_dump_json()
    assert "fisher_beta_0p01" in swept


@pytest.mark.parametrize(
    ("defense", "parameter", "values"),
    [
        ("empirical", "beta", [0.2]),
        ("adversarial", "clean_weight", [0, 0.5]),
        ("adversarial", "perturbation.epsilon", [0.3]),
        ("trades", "direction", ["forward", "reverse"]),
        ("trades", "warm_start", [True]),
        ("noise", "perturbation.epsilon", [0.3]),
        ("robust", "clean_weight", [0.25]),
        ("fisher", "draws", [2, 5]),
        ("short", "training.epochs", [4]),
    ],
)
def test_every_kind_of_defense_sweeps(read, study, defense, parameter, values):
    sweep = {"defense": defense, "parameter": parameter, "values": values}
    study["sweeps"] = {"strength": sweep, "radius": sweep}
    loaded = read(study)
    names = [swept_name(defense, parameter, value) for value in values]
    for name, value in zip(names, values, strict=True):
        place = loaded.defenses[name]
        for part in parameter.split("."):
            place = getattr(place, part)
        assert place == value
    jobs = model_jobs(loaded)
    assert set(names) <= {job.defense for job in jobs}
    assert all(EvaluateJob.model_validate_json(job.model_dump_json()) == job for job in jobs)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.001, "0p001"),
        (1e-05, "0p00001"),
        (1.5e-7, "0p00000015"),
        (1, "1"),
        (1.0, "1"),
        (100.0, "100"),
        (-2.5, "m2p5"),
        (-0.0, "0"),
        (True, "true"),
        ("score_function", "score_function"),
    ],
)
def test_names_are_valid_and_stable(value, written):
    assert swept_name("fisher", "perturbation.beta", value) == f"fisher_beta_{written}"


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"defense": "fishr"}, ("sweeps.strength.defense: got 'fishr'", "did you mean 'fisher'")),
        ({"parameter": "bta"}, ("sweeps.strength.parameter: got 'bta'", "did you mean 'beta'")),
        ({"parameter": "kind"}, ("sweeps.strength.parameter: got 'kind'; allowed: beta, ",)),
        ({"parameter": "beta."}, ("sweeps.strength.parameter: got 'beta.'",)),
        (
            {"values": [0.1, -1]},
            ("sweeps.strength.values.1: got -1; allowed: what fisher takes (beta: got -1;",),
        ),
        (
            {"parameter": "draws", "values": [1.5]},
            ("sweeps.strength.values.0: got 1.5", "draws: got 1.5; allowed: a whole number"),
        ),
        ({"values": [1, 1.0]}, ("sweeps.strength.values.1: got 1.0; allowed: each value once",)),
        ({"values": []}, ("sweeps.strength.values: got []; allowed: a list with at least 1",)),
        ({"values": [[1]]}, ("sweeps.strength.values: got [1]; allowed: a finite number",)),
        ({"values": [float("nan")]}, ("sweeps.strength.values: got nan; allowed: a finite",)),
        ({"value": [1]}, ("sweeps.strength.value: got 'value'", "did you mean 'values'")),
    ],
)
def test_what_does_not_fit_is_named(refusal, study, change, parts):
    study["sweeps"]["strength"] |= change
    message = refusal(study)
    for part in parts:
        assert part in message


def test_experiments_name_known_sweeps_once(refusal, study):
    study["experiments"][0]["sweeps"] = ["strenght", "radius", "radius"]
    lines = refusal(study).splitlines()
    assert lines == [
        "experiments.0.sweeps: got 'strenght'; allowed: radius, strength "
        "(did you mean 'strength'?)",
        "experiments.0.sweeps: got 'radius'; allowed: each name once",
    ]


def test_a_name_that_a_defense_has_is_refused(refusal, study):
    study["defenses"]["fisher_beta_1"] = {"kind": "fisher", "beta": 2.0}
    assert "sweeps.strength.values.2: got 1; allowed: values whose names are free" in refusal(study)


@pytest.mark.parametrize("name", ["fisher", "none", "fisher_beta_1"])
def test_a_sweep_has_a_name_of_its_own(refusal, study, name):
    study["sweeps"][name] = study["sweeps"].pop("strength")
    study["experiments"][0]["sweeps"] = [name]
    study["experiments"][1]["sweeps"] = [name, "radius"]
    assert f"sweeps.{name}: got '{name}'; allowed: a name that no defense has" in refusal(study)


def test_a_name_too_long_for_a_folder_is_refused(refusal, study):
    study["sweeps"]["strength"]["values"] = [0.1, 1e-120]
    message = refusal(study)
    assert "sweeps.strength.values.1: got 1e-120; allowed: values whose names have" in message
    assert "at most 100 characters" in message


def test_a_value_of_the_base_is_no_second_model_beside_it(read, study):
    study["sweeps"]["strength"]["values"] = [0.01, 0.5]
    study["experiments"][0]["defenses"] = ["none", "fisher"]
    jobs = model_jobs(read(study))
    names = {n: [job.defense for job in jobs if job.budget == n] for n in (1000, 2000)}
    assert names[1000] == ["none", "fisher", "fisher_beta_0p01"]
    assert "fisher_beta_0p5" in names[2000]
    assert curves_of(report_job(read(study)).sweeps, "fisher") == ["strength"]


def test_sweeps_that_share_a_point_share_its_model(read, study):
    study["sweeps"]["fine"] = {"defense": "fisher", "parameter": "beta", "values": [0.01, 0.02]}
    study["experiments"][0]["sweeps"] = ["strength", "fine"]
    defenses = [job.defense for job in model_jobs(read(study)) if job.budget == 1000]
    assert defenses == [
        *("none", "fisher_beta_0p001", "fisher_beta_0p01", "fisher_beta_1"),
        "fisher_beta_0p02",
    ]
    sweeps = report_job(read(study)).sweeps
    assert curves_of(sweeps, "fisher_beta_0p01") == ["fine", "strength"]
    assert curves_of(sweeps, "fisher") == ["fine", "strength"]
    assert curves_of(sweeps, "robust") == ["radius"]
    assert curves_of(sweeps, "none") == []


def test_a_refused_combination_of_a_swept_defense_names_it(refusal, study):
    study["sweeps"]["strength"] |= {"parameter": "trace", "values": ["exact"]}
    message = refusal(study)
    assert "experiments.0.defenses: got 'fisher_trace_exact' with trace: exact" in message


def test_the_slice_of_the_report_reads_back(read, study):
    job = report_job(read(study))
    assert ReportJob.model_validate_json(job.model_dump_json()) == job
