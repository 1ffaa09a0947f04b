from copy import deepcopy

import pytest
import yaml

from certibayes.config import ConfigError, load

STUDY = {
    "study": "example",
    "models": {
        "gaussian": {"estimator": {"kind": "gaussian"}},
        "bnn": {"network": {"kind": "mlp"}, "inference": {"kind": "bbb"}},
    },
    "defenses": {"fisher": {"kind": "fisher", "beta": 0.1}},
    "attacks": {
        "pgd": {
            "kind": "pgd",
            "objective": "forward_kl",
            "perturbation": {"norm": "linf", "unit": "feature_std", "epsilons": [0.1, 0.2]},
        },
    },
    "certificates": {
        "decision": {
            "kind": "decision",
            "perturbation": {"norm": "linf", "unit": "raw", "epsilons": [0.1]},
        },
    },
    "experiments": [
        {
            "task": "gaussian_linear",
            "budget": 60_000,
            "model": "gaussian",
            "defenses": ["none", "fisher"],
            "attacks": ["pgd"],
            "seeds": [0, 1],
        },
        {"task": "digits", "budget": 100, "model": "bnn", "certificates": ["decision"]},
    ],
}

SHIFT = {
    "kind": "posterior_shift",
    "perturbation": {"norm": "linf", "unit": "raw", "epsilons": [0.1]},
}


def load_changed(tmp_path, path, value):
    data = deepcopy(STUDY)
    *parents, last = path
    place = data
    for part in parents:
        place = place[part]
    place[last] = value
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(data))
    return load(file)


def refused(tmp_path, path, value):
    with pytest.raises(ConfigError) as caught:
        load_changed(tmp_path, path, value)
    return str(caught.value).removeprefix(f"{tmp_path}/study.yaml: ")


@pytest.mark.parametrize(
    ("path", "value", "parts"),
    [
        (
            ("attacks", "pgd", "restart"),
            3,
            ("attacks.pgd.restart: got 'restart'", "restarts", "did you mean 'restarts'"),
        ),
        (
            ("experiments", 0, "atacks"),
            ["pgd"],
            ("experiments.0.atacks: got 'atacks'", "did you mean 'attacks'"),
        ),
        (("modles",), {}, ("modles: got 'modles'", "did you mean 'models'")),
        (
            ("models", "gaussian", "estimator", "hiden"),
            [3],
            ("models.gaussian.estimator.hiden: got 'hiden'", "did you mean 'hidden'"),
        ),
        (
            ("attacks", "pgd", "perturbation", "epsilons"),
            [-0.1, 0.2],
            ("attacks.pgd.perturbation.epsilons.0: got -0.1", "greater than or equal to 0"),
        ),
        (
            ("attacks", "pgd", "perturbation", "epsilons"),
            [0.2, 0.1],
            ("attacks.pgd.perturbation.epsilons: got [0.2, 0.1]", "strictly increasing"),
        ),
        (
            ("attacks", "pgd", "perturbation", "norm"),
            "l3",
            ("attacks.pgd.perturbation.norm: got 'l3'", "'l1', 'l2' or 'linf'"),
        ),
        (
            ("attacks", "pgd", "kind"),
            "pgdd",
            ("attacks.pgd.kind: got 'pgdd'", "noise, pgd", "did you mean 'pgd'"),
        ),
        (("attacks", "pgd", "steps"), "many", ("attacks.pgd.steps: got 'many'", "a whole number")),
        (
            ("experiments", 0, "task"),
            "gaussian_liner",
            ("experiments.0.task: got 'gaussian_liner'", "did you mean 'gaussian_linear'"),
        ),
        (
            ("experiments", 0, "model"),
            "flow",
            ("experiments.0.model: got 'flow'", "allowed: bnn, gaussian"),
        ),
        (
            ("experiments", 0, "model"),
            "bnn",
            ("experiments.0.model: got 'bnn'", "allowed: gaussian"),
        ),
        (
            ("experiments", 1, "attacks"),
            ["pgd"],
            (
                "experiments.1.attacks: got 'pgd'",
                "'forward_kl'",
                "does not fit the classification model 'bnn'",
                "expected_loss",
            ),
        ),
        (
            ("experiments", 0, "certificates"),
            ["decision"],
            ("experiments.0.certificates: got 'decision'", "allowed: nothing"),
        ),
        (
            ("experiments", 1, "budget"),
            5_000,
            ("experiments.1.budget: got 5000", "1 to 1297"),
        ),
        (
            ("experiments", 0, "defenses"),
            ["none", "none"],
            ("experiments.0.defenses: got 'none'", "each name once"),
        ),
        (("experiments", 0, "seeds"), [], ("experiments.0.seeds: got []", "at least 1")),
        (("experiments",), [], ("experiments: got []", "at least 1")),
        (("study",), "My Study", ("study: got 'My Study'", "lower-case letters, digits and _")),
        (
            ("models", "bnn", "estimator"),
            {"kind": "gaussian"},
            ("models.bnn: got both or none", "exactly one of estimator, network"),
        ),
        (
            ("models", "gaussian", "inference"),
            {"kind": "bbb"},
            ("models.gaussian.inference.kind: got 'bbb'", "map"),
        ),
        (
            ("defenses", "fisher", "beta"),
            float("inf"),
            ("defenses.fisher.beta: got inf", "finite"),
        ),
        (
            ("defenses", "robust"),
            {
                "kind": "robust_likelihood",
                "perturbation": {"norm": "linf", "unit": "raw", "epsilon": 0.1},
                "warm_start": True,
                "initialization": "interval",
            },
            ("defenses.robust.initialization: got 'interval' with warm_start: true; allowed: ",),
        ),
        (
            ("defenses", "none"),
            {"kind": "fisher", "beta": 1.0},
            ("defenses.none: got 'none'", "built in"),
        ),
        (
            ("experiments", 1, "evaluation"),
            {"outside": "svhn"},
            ("experiments.1.evaluation.outside: got 'svhn'; allowed: permuted",),
        ),
        (
            ("experiments", 1, "evaluation"),
            {"observations": 501},
            ("experiments.1.evaluation.observations: got 501", "1 to 500, the test pairs"),
        ),
        (
            ("evaluation",),
            {"report_draws": 300, "c2st_draws": 50},
            ("evaluation.coverage_draws: got 500", "300, the value of report_draws"),
        ),
        (
            ("certificates", "pgd"),
            {
                "kind": "decision",
                "perturbation": {"norm": "linf", "unit": "raw", "epsilons": [0.1]},
            },
            ("certificates.pgd: got 'pgd'", "a name that no attack has"),
        ),
        (("attacks", "pgd", "objective"), None, ("attacks.pgd.objective: got None", "forward_kl")),
        (
            ("certificates", "shift"),
            SHIFT | {"draws": 200},
            (
                "certificates.shift.comparison_draws: got 500; ",
                "allowed: 2 to 200, the value of draws",
            ),
        ),
        (
            ("certificates", "shift"),
            SHIFT | {"draws": 1, "comparison_draws": 2},
            ("certificates.shift.draws: got 1; allowed: greater than or equal to 2",),
        ),
        (
            ("certificates", "shift"),
            SHIFT | {"comparison_draws": 1},
            ("certificates.shift.comparison_draws: got 1; allowed: greater than or equal to 2",),
        ),
        (
            ("evaluation",),
            {"report_draws": 255},
            ("evaluation.report_draws: got 255; allowed: greater than or equal to 256",),
        ),
        (
            ("evaluation",),
            {"observations": 1},
            ("evaluation.observations: got 1; allowed: greater than or equal to 2",),
        ),
        (
            ("evaluation",),
            {"c2st_draws": 49},
            ("evaluation.c2st_draws: got 49; allowed: greater than or equal to 50",),
        ),
        (
            ("experiments", 0, "defenses"),
            [],
            ("experiments.0.defenses: got []; allowed: a list with at least 1",),
        ),
        (
            ("defenses", "fisher", "beta"),
            "0.1",
            ("defenses.fisher.beta: got '0.1'; allowed: a number, without quotes",),
        ),
        (
            ("defenses", "fisher", "beta"),
            True,
            ("defenses.fisher.beta: got True; allowed: a number",),
        ),
        (
            ("attacks", "pgd", "perturbation", "epsilons"),
            ["0.1"],
            ("attacks.pgd.perturbation.epsilons.0: got '0.1'; allowed: a number",),
        ),
        (
            ("experiments", 0, "budget"),
            "1000",
            ("experiments.0.budget: got '1000'; allowed: a whole number, digits without quotes",),
        ),
        (
            ("experiments", 0, "budget"),
            True,
            ("experiments.0.budget: got True; allowed: a whole number",),
        ),
        (
            ("experiments", 0, "seeds"),
            [1.5],
            ("experiments.0.seeds.0: got 1.5; allowed: a whole number",),
        ),
        (("experiments", 0, "seeds"), 3, ("experiments.0.seeds: got 3; allowed: a list",)),
        (("experiments",), [3], ("experiments.0: got 3; allowed: a mapping of keys",)),
        (("experiments",), 3, ("experiments: got 3; allowed: a list",)),
        (("attacks",), ["pgd"], ("attacks: got ['pgd']; allowed: a mapping of keys",)),
        (("attacks", "pgd"), 3, ("attacks.pgd: got 3; allowed: a mapping of keys",)),
        (
            ("attacks", "pgd", "perturbation"),
            0.1,
            ("attacks.pgd.perturbation: got 0.1; allowed: a mapping of keys",),
        ),
        (
            ("models", "MAF"),
            {"estimator": {"kind": "maf"}},
            ("models.MAF: got 'MAF'; allowed: a name of lower-case letters, digits and _",),
        ),
        (("models", 1), {"estimator": {"kind": "maf"}}, ("models.1: got 1; allowed: text",)),
        ((1,), 2, ("1: got 1; allowed: text as a key",)),
        ((None,), 2, ("None: got None; allowed: text as a key",)),
        (("models", True), STUDY["models"]["bnn"], ("models.True: got True; allowed: text",)),
        (("study",), 3, ("study: got 3; allowed: text",)),
        (
            ("defenses", "fisher", "warm_start"),
            3,
            ("defenses.fisher.warm_start: got 3; allowed: true or false",),
        ),
        (
            ("defenses", "fisher", "warm_start"),
            [],
            ("defenses.fisher.warm_start: got []; allowed: true or false",),
        ),
        (
            ("attacks", "clean"),
            STUDY["attacks"]["pgd"],
            ("attacks.clean: got 'clean'; allowed: any other name",),
        ),
        (
            ("certificates", "clean"),
            STUDY["certificates"]["decision"],
            ("certificates.clean: got 'clean'; allowed: any other name",),
        ),
    ],
)
def test_a_bad_value_is_refused_with_key_value_and_what_is_allowed(tmp_path, path, value, parts):
    message = refused(tmp_path, path, value)
    assert all(part in message for part in parts), message
    assert len(message.splitlines()) == 1


def test_a_missing_key_is_named(tmp_path):
    data = deepcopy(STUDY)
    del data["attacks"]["pgd"]["objective"]
    del data["defenses"]["fisher"]["kind"]
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(data))
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert "attacks.pgd.objective: got nothing; allowed: this key is required" in str(caught.value)
    assert "defenses.fisher.kind: got nothing; allowed: this key is required" in str(caught.value)


def test_every_finding_has_a_line(tmp_path):
    data = deepcopy(STUDY)
    data["experiments"][0]["task"] = "nope"
    data["experiments"][1]["model"] = "nope"
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(data))
    with pytest.raises(ConfigError) as caught:
        load(file)
    lines = str(caught.value).splitlines()
    assert [line.startswith(f"{file}: experiments.") for line in lines] == [True, True]


def test_a_merged_key_may_be_overridden(tmp_path):
    text = yaml.safe_dump({**STUDY, "defenses": None}).replace(
        "defenses: null",
        "x-base: &base {kind: fisher, beta: 0.1}\n"
        "x-more: &more {<<: *base, beta: 0.2}\n"
        "defenses: {fisher: {<<: *more, beta: 0.3}, other: *more}",
    )
    file = tmp_path / "study.yaml"
    file.write_text(text)
    study = load(file)
    assert [study.defenses[name].beta for name in ("fisher", "other")] == [0.3, 0.2]


@pytest.mark.parametrize(("text", "value"), [("1", 1.0), ("1.0e-3", 0.001), ("0", 0.0)])
def test_every_way_yaml_writes_a_number_is_read(tmp_path, text, value):
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(STUDY).replace("beta: 0.1", f"beta: {text}"))
    beta = load(file).defenses["fisher"].beta
    assert isinstance(beta, float)
    assert beta == value


def test_an_exponent_that_yaml_reads_as_text_is_explained(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(STUDY).replace("beta: 0.1", "beta: 1e-3"))
    with pytest.raises(ConfigError, match=r"beta: got '1e-3'; allowed: a number, .* 1\.0e-3"):
        load(file)
