"""The stages one after the other in one process, without Snakemake and without tracking."""

import numpy as np
import pandas as pd
import pytest
import yaml
from in_process import load_study, run_study

from certibayes.config.jobs import (
    attack_job,
    base_models,
    certify_job,
    model_jobs,
)
from certibayes.io import load_arrays, read_json
from certibayes.report.invariants import broken
from certibayes.report.observed_certificates import render_certificates
from certibayes.stages import attack, attack_adaptive, certify

BOX = {"norm": "linf", "unit": "feature_std"}
PIXELS = {"norm": "linf", "unit": "raw"}
TRAINING = {"epochs": 2, "batch_size": 64}
STUDY = {
    "study": "tiny",
    "models": {
        "maf": {"estimator": {"kind": "maf", "hidden": 16}, "training": TRAINING},
        "gaussian": {"estimator": {"kind": "gaussian", "hidden": [16]}, "training": TRAINING},
        "bnn": {
            "network": {"kind": "mlp", "hidden": [16]},
            "inference": {"kind": "bbb", "stored_samples": 4},
            "training": TRAINING,
        },
    },
    "defenses": {
        "fisher": {"kind": "fisher", "beta": 0.01},
        "robust": {"kind": "robust_likelihood", "perturbation": {**BOX, "epsilon": 0.02}},
    },
    "attacks": {
        "noise": {
            "kind": "noise",
            "objective": "reverse_kl",
            "perturbation": {**BOX, "epsilons": [0.02, 0.1]},
        },
        "pgd": {
            "kind": "pgd",
            "objective": "reverse_kl",
            "perturbation": {**BOX, "epsilons": [0.02, 0.1]},
            "steps": 3,
        },
        "pixels": {
            "kind": "pgd",
            "objective": "expected_loss",
            "perturbation": {**PIXELS, "epsilons": [0.02, 0.1]},
            "steps": 3,
        },
    },
    "certificates": {
        "shift": {
            "kind": "posterior_shift",
            "perturbation": {**BOX, "epsilons": [0.02, 0.1]},
            "draws": 300,
            "comparison_draws": 100,
        },
        "decision": {"kind": "decision", "perturbation": {**PIXELS, "epsilons": [0.02, 0.1]}},
    },
    "evaluation": {
        "observations": 6,
        "report_draws": 256,
        "coverage_draws": 50,
        "c2st_observations": 1,
        "c2st_draws": 100,
    },
    "tracking": {"mode": "off"},
    "experiments": [
        {
            "task": "gaussian_linear_sbibm",
            "budget": 500,
            "model": "maf",
            "defenses": ["none", "robust"],
            "attacks": ["noise", "pgd"],
            "certificates": ["shift"],
        },
        {
            "task": "lynx_hare",
            "budget": 500,
            "model": "gaussian",
            "defenses": ["fisher"],
            "attacks": ["pgd"],
            "certificates": ["shift"],
        },
        {
            "task": "digits",
            "budget": 400,
            "model": "bnn",
            "defenses": ["none"],
            "attacks": ["pixels"],
            "certificates": ["decision"],
        },
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished tiny study; returns the workflow's folder."""
    folder = tmp_path_factory.mktemp("workflow")
    run_study(folder, STUDY)
    return folder


def test_every_attack_and_certificate_has_a_row_per_epsilon_and_no_invariant_is_broken(folder):
    _, layout = load_study(folder, STUDY)
    summary = pd.read_csv(layout.root / "summary.csv")
    assert len(summary) == 2 * (1 + 4 + 2) + (1 + 2 + 2) + (1 + 2 + 2)
    assert len(read_json(layout.root / "invariants.json")) > 30
    assert broken(layout.root / "invariants.json") == []
    shift = summary[summary["method"] == "shift"]
    assert shift["kl_certified_median"].notna().sum() == 2
    assert (shift["total_variation_median"] <= 1).all()


def test_the_report_lists_what_it_wrote_and_nothing_else(folder):
    _, layout = load_study(folder, STUDY)
    outputs = set(read_json(layout.root / "run.json")["outputs"])
    assert {"summary.csv", "invariants.json", "report/curves_digits.png"} <= outputs
    assert all(name.startswith("report/") or "/" not in name for name in outputs)


def test_the_real_series_stands_beside_its_reference(folder):
    _, layout = load_study(folder, STUDY)
    table = pd.read_csv(layout.report / "posterior_lynx_hare.csv")
    alpha = table[(table["parameter"] == "alpha") & (table["method"] == "clean")]
    assert alpha["reference_mean"].item() == pytest.approx(0.55, abs=0.02)
    assert set(table["method"]) == {"clean", "pgd"}
    certified = pd.read_csv(layout.report / "certified_lynx_hare.csv")
    assert certified["epsilon"].tolist() == [0.02, 0.1]
    assert certified["total_variation"].between(0, 1).all()
    text = render_certificates(certified)
    assert text.startswith("lynx_hare, real observation 1900-1920: certified total variation (tau")
    assert "gaussian, fisher, seed 0: 0.02: " in text


def test_gradient_attacks_are_checked_and_the_report_shows_it(folder):
    _, layout = load_study(folder, STUDY)
    checks = pd.read_csv(layout.report / "adaptive.csv")
    counts = checks.groupby(["task", "defense", "attack"]).size().to_dict()
    assert counts == {
        ("gaussian_linear_sbibm", "none", "pgd"): 4,
        ("gaussian_linear_sbibm", "robust", "pgd"): 5,
        ("lynx_hare", "fisher", "pgd"): 5,
        ("digits", "none", "pixels"): 3,
    }
    assert (checks["epsilon"] == 0.1).all()
    assert (checks["observations"] == 6).all()
    assert (checks["ratio"] > 1.1)[checks["beats"]].all()
    page = (layout.report / "adaptive.html").read_text()
    assert page.count("class='warning'") == checks["beats"].sum()
    summary = pd.read_csv(layout.root / "summary.csv")
    stated = summary[summary["adaptive_ratio"].notna()]
    assert set(stated["method"]) == {"pgd", "pixels"}
    largest = checks.groupby(["task", "defense"])["ratio"].max()
    found = stated.set_index(["task", "defense"])["adaptive_ratio"].sort_index()
    np.testing.assert_allclose(found, largest.sort_index(), rtol=1e-6)


def test_points_of_checks_lie_in_the_ball_and_finished_checks_are_kept(folder, monkeypatch):
    values = yaml.safe_load(yaml.safe_dump(STUDY))
    study, layout = load_study(folder, values)
    model = next(one for one in model_jobs(study) if one.defense == "robust")
    kept = layout.attack(model, "pgd")
    before = load_arrays(kept / "adaptive.npz")
    x, scale = before["x/transfer"], read_json(layout.reference(model) / "scale.json")
    clean = load_arrays(layout.reference(model) / "test.npz")["x"][:6]
    assert (np.abs(x - clean) <= 0.1 * np.array(scale["feature_std"]) * (1 + 1e-12)).all()
    searched = []
    original = attack_adaptive.Subject.search
    monkeypatch.setattr(
        attack_adaptive.Subject,
        "search",
        lambda self, spec, *rest: searched.append(spec.kind) or original(self, spec, *rest),
    )
    attack.run(attack_job(model, "pgd"), layout, "code")
    assert searched == []
    np.testing.assert_array_equal(load_arrays(kept / "adaptive.npz")["main"], before["main"])


def test_steps_of_a_warm_start_include_those_of_the_base(folder):
    study, layout = load_study(folder, STUDY)
    steps = {
        (job.task, job.defense): read_json(layout.weights(job) / "manifest.json")["steps"]
        for job in [*base_models(study), *model_jobs(study)]
    }
    assert steps["lynx_hare", "fisher"] == 2 * steps["lynx_hare", "none"]
    robust, none = (steps["gaussian_linear_sbibm", name] for name in ("robust", "none"))
    assert robust == none


@pytest.mark.parametrize(
    ("section", "name", "stage", "job", "computed"),
    [
        ("attacks", "pgd", attack, attack_job, "_attack"),
        ("certificates", "shift", certify, certify_job, "to_arrays"),
    ],
)
def test_an_added_epsilon_computes_that_epsilon_alone(
    folder, monkeypatch, section, name, stage, job, computed
):
    values = yaml.safe_load(yaml.safe_dump(STUDY))
    values[section][name]["perturbation"]["epsilons"] = [0.02, 0.05, 0.1]
    study, layout = load_study(folder, values)
    model = next(one for one in model_jobs(study) if one.defense == "robust")
    kept = getattr(layout, "attack" if stage is attack else "certify")(model, name)
    file = kept / ("attack.npz" if stage is attack else "certificate.npz")
    before = load_arrays(file)
    calls = []
    original = getattr(stage, computed)
    monkeypatch.setattr(stage, computed, lambda *a: calls.append(a) or original(*a))
    stage.run(job(model, name), layout, "code")
    assert len(calls) == 1
    after = load_arrays(file)
    assert after["epsilons"].tolist() == [0.02, 0.05, 0.1]
    field = "x" if stage is attack else "upper"
    np.testing.assert_array_equal(after[field][[0, 2]], before[field])
