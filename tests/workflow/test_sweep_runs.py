"""A sweep from the study file to the trade-off table; one value more trains one model more."""

from copy import deepcopy

import pandas as pd
import pytest
from in_process import load_study, run_study
from test_reruns import touch_outputs

from certibayes.commands.list import overview
from certibayes.inventory import inventory

BALL = {"norm": "linf", "unit": "feature_std"}
SWEPT = ["fisher_beta_0p001", "fisher_beta_0p1"]
STUDY = {
    "study": "swept",
    "models": {
        "gaussian": {
            "estimator": {"kind": "gaussian", "hidden": [8]},
            "training": {"epochs": 2, "batch_size": 64},
        }
    },
    "defenses": {
        "fisher": {"kind": "fisher", "beta": 0.01},
        "robust": {"kind": "robust_likelihood", "perturbation": {**BALL, "epsilon": 0.05}},
    },
    "sweeps": {
        "strength": {"defense": "fisher", "parameter": "beta", "values": [0.001, 0.1]},
        "radius": {"defense": "robust", "parameter": "perturbation.epsilon", "values": [0.02]},
    },
    "attacks": {
        "pgd": {
            "kind": "pgd",
            "objective": "forward_kl",
            "perturbation": {**BALL, "epsilons": [0.1]},
            "steps": 2,
            "restarts": 1,
        }
    },
    "certificates": {
        "shift": {
            "kind": "posterior_shift",
            "perturbation": {**BALL, "epsilons": [0.1]},
            "draws": 200,
            "comparison_draws": 100,
        }
    },
    "evaluation": {
        "observations": 5,
        "report_draws": 256,
        "coverage_draws": 50,
        "c2st_observations": 1,
        "c2st_draws": 100,
    },
    "tracking": {"mode": "off"},
    "experiments": [
        {
            "task": "gaussian_linear_sbibm",
            "budget": 200,
            "model": "gaussian",
            "sweeps": ["strength", "radius"],
            "attacks": ["pgd"],
            "certificates": ["shift"],
        }
    ],
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("swept")
    layout = run_study(folder, STUDY)
    return folder, layout


def test_a_sweep_ends_in_the_tradeoff_table_and_its_figure(ran):
    _, layout = ran
    table = pd.read_csv(layout.root / "tradeoff.csv")
    curves = table.groupby("curve")["defense"].unique().map(list).to_dict()
    assert curves == {
        "none": ["none"],
        "strength": SWEPT,
        "radius": ["robust_epsilon_0p02"],
    }
    points = table[(table["method"] == "pgd") & (table["quantity"] == "forward_kl_median")]
    assert points["pareto"].any()
    summary = pd.read_csv(layout.root / "summary.csv").set_index(["defense", "method"])
    for row in points.itertuples():
        attacked = summary.loc[(row.defense, "pgd"), "forward_kl_median"]
        assert row.robustness == pytest.approx(attacked)
        assert row.fit == pytest.approx(summary.loc[(row.defense, "clean"), "nll"])
    certified = table[table["stage"] == "certify"]
    assert set(certified["defense"]) == {"none", *SWEPT, "robust_epsilon_0p02"}
    name = "tradeoff_gaussian_linear_sbibm_n200_gaussian_linf_feature_std.png"
    assert (layout.report / name).read_bytes().startswith(b"\x89PNG")
    seeds = pd.read_csv(layout.root / "seeds.csv")
    assert set(seeds["n"]) == {1}


def test_list_counts_what_a_run_left_and_what_a_value_adds(ran):
    folder, _ = ran
    study, _ = load_study(folder, STUDY)
    assert all(entry.done for entry in inventory(study, folder))
    more = deepcopy(STUDY)
    more["sweeps"]["strength"]["values"].append(1.0)
    study, _ = load_study(folder, more)
    to_do = [entry for entry in inventory(study, folder) if not entry.done]
    assert [entry.stage for entry in to_do] == [
        *("retrain", "attack", "certify", "evaluate", "report")
    ]
    assert {entry.defense for entry in to_do} - {""} == {"fisher_beta_1"}
    assert "unknown" in overview(study, folder)


def test_snakemake_runs_one_model_more_for_one_value_more(project):
    experiment = dict(project.study["experiments"][0])
    del experiment["certificates"]
    sweep = {"defense": "fisher", "parameter": "beta", "values": [0.001, 0.1]}
    project.study |= {
        "sweeps": {"strength": sweep},
        "experiments": [experiment | {"sweeps": ["strength"], "defenses": ["none"]}],
    }
    project.study["tracking"]["mode"] = "off"
    project.write()
    touch_outputs(project)
    sweep["values"].append(1.0)
    project.write()
    expected = {"retrain": 1, "attack": 2, "evaluate": 1, "report": 1, "all": 1}
    assert project.planned() == expected
