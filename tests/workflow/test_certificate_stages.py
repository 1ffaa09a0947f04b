"""Every kind of certificate and its options through the stages, with attacks in the same ball."""

from math import erf

import numpy as np
import pandas as pd
import pytest
from in_process import load_study, run_study

from certibayes.config.jobs import model_jobs
from certibayes.report.invariants import broken

BOX = {"norm": "linf", "unit": "feature_std", "epsilons": [0.01, 0.05]}
COUNTS = {"norm": "linf", "unit": "raw", "epsilons": [0.001]}
PIXELS = {"norm": "linf", "unit": "raw", "epsilons": [0.001, 0.01]}
FEW = {"draws": 200, "comparison_draws": 100}
TRAINING = {"epochs": 2, "batch_size": 64}
STUDY = {
    "study": "tiny",
    "models": {
        "gaussian": {"estimator": {"kind": "gaussian", "hidden": [12]}, "training": TRAINING},
        "bayes": {
            "network": {"kind": "mlp", "hidden": [8]},
            "inference": {"kind": "bbb", "stored_samples": 3},
            "training": TRAINING,
        },
        "deep": {"network": {"kind": "mlp", "hidden": [8]}, "members": 2, "training": TRAINING},
    },
    "attacks": {
        "strong": {
            "kind": "pgd",
            "preset": "strong_classifier",
            "perturbation": PIXELS,
            "steps": 3,
            "observations": 3,
            "outside": True,
        },
        "pgd": {"kind": "pgd", "objective": "nll", "perturbation": BOX, "steps": 3},
        "pixels": {"kind": "pgd", "objective": "expected_loss", "perturbation": PIXELS, "steps": 3},
    },
    "certificates": {
        "shift": {
            "kind": "posterior_shift",
            "perturbation": BOX,
            "simultaneous": True,
            "radius": True,
            "tau": 0.9,
            "bounds": "crown_ibp",
            "route": "best",
            "pilot_draws": 50,
            "answers": {
                "regions": {"left": {"theta_1": [-5.0, 0.0]}},
                "quantiles": {"theta_2": [0.5]},
            },
            **FEW,
        },
        "density": {"kind": "log_density", "perturbation": BOX, "drop": 2.0},
        "covered": {"kind": "coverage", "perturbation": BOX, "bounds": "closed_form", **FEW},
        "stated": {
            "kind": "log_density",
            "perturbation": COUNTS,
            "bounds": "crown",
            "thetas": [[0.5, 0.02, 0.02, 0.8, 30.0, 5.0, 0.3, 0.3]] * 2,
        },
        "decision": {"kind": "decision", "perturbation": PIXELS, "radius": True},
        "stored": {"kind": "decision", "perturbation": PIXELS},
        "safe": {"kind": "probabilistic_safety", "perturbation": PIXELS, "half_widths": [1e-3]},
        "predictive": {
            "kind": "posterior_decision",
            "perturbation": PIXELS,
            "draws": 20,
            "radius": True,
        },
    },
    "evaluation": {
        "observations": 5,
        "report_draws": 256,
        "coverage_draws": 50,
        "c2st_observations": 1,
        "c2st_draws": 100,
        "outside": "permuted",
    },
    "tracking": {"mode": "off"},
    "experiments": [
        {
            "task": "gaussian_linear_sbibm",
            "budget": 400,
            "model": "gaussian",
            "attacks": ["pgd"],
            "certificates": ["shift", "density", "covered"],
        },
        {
            "task": "digits",
            "budget": 300,
            "model": "deep",
            "attacks": ["pixels"],
            "certificates": ["decision"],
        },
        {
            "task": "digits",
            "budget": 300,
            "model": "bayes",
            "attacks": ["strong", "pixels"],
            "certificates": ["predictive", "stored", "safe"],
        },
        {
            "task": "lynx_hare",
            "budget": 300,
            "model": "gaussian",
            "certificates": ["stated"],
        },
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished tiny study; returns the workflow's folder."""
    folder = tmp_path_factory.mktemp("workflow")
    run_study(folder, STUDY)
    return folder


@pytest.fixture(scope="module")
def rows(folder):
    _, layout = load_study(folder, STUDY)
    assert broken(layout.root / "invariants.json") == []
    summary = pd.read_csv(layout.root / "summary.csv")
    return dict(iter(summary.groupby("method")))


def arrays_of(folder, task, file):
    study, layout = load_study(folder, STUDY)
    job = next(job for job in model_jobs(study) if job.task == task)
    with np.load(layout.evaluate(job) / file) as found:
        return dict(found)


def test_every_certificate_has_its_columns(rows):
    density, covered, shift = rows["density"], rows["covered"], rows["shift"]
    assert (density["drop"] == 2.0).all()
    assert (density["confidence"] == 1.0).all()
    assert (density["log_density_drop_low"] <= density["log_density_drop_high"]).all()
    assert density["total_variation_median"].isna().all()
    assert (covered["level"] == 0.9).all()
    assert (covered["simultaneous"] == 1).all()
    assert (covered["certified_share_low"] <= covered["certified_share"]).all()
    assert (covered["certified_share"] <= covered["certified_share_high"]).all()
    assert (covered["coverage_certified"] <= covered["certified_share_low"]).all()
    assert (shift["simultaneous"] == 10).all()
    assert (shift["pilot_draws"] == 50).all()
    assert density["pilot_draws"].isna().all()
    assert shift["radius_median"].nunique() == 1
    assert rows["decision"]["radius_median"].notna().all()
    predictive = rows["predictive"]
    assert (predictive["draws"] == 20).all()
    assert (predictive["simultaneous"] == 2).all()
    assert (predictive["confidence"] == 0.999).all()
    assert (rows["strong"]["objective"] == "margin").all()
    shares = ["certified_share", "refuted_share", "unknown_share"]
    for name in STUDY["certificates"]:
        np.testing.assert_allclose(rows[name][shares].sum(axis=1), 1.0)


def test_a_classifier_states_intervals_and_how_many_were_attacked(rows):
    strong, pixels, safe = rows["strong"], rows["pixels"], rows["safe"]
    assert (strong["observations"] == 3).all()
    assert (pixels["observations"] == 5).all()
    for table in (strong, pixels, safe, rows["stored"]):
        assert (table["accuracy_low"] <= table["accuracy"]).all()
        assert (table["accuracy"] <= table["accuracy_high"]).all()
    for name in ("nll", "ece", "outside_entropy_auroc"):
        assert (strong[f"{name}_low"] <= strong[name]).all()
        assert (strong[name] <= strong[f"{name}_high"]).all()
    assert strong["outside_attacked_entropy_auroc"].between(0, 1).all()
    assert pixels["outside_attacked_entropy_auroc"].isna().all()
    assert (safe["tau"] == 0.05).all()
    assert (safe["confidence"] == 1.0).all()


def test_a_shift_stands_beside_the_attack_the_exact_posterior_and_what_is_known(folder, rows):
    _, layout = load_study(folder, STUDY)
    found = pd.read_csv(layout.root / "tightness.csv")
    assert list(found["epsilon"]) == BOX["epsilons"]
    np.testing.assert_allclose(
        found["exact"], [erf((2 * kl / 8) ** 0.5) for kl in found["exact_kl"]]
    )
    assert (found["nats"] == found["nats_standard"]).all()
    gains = found["nats"] > 0
    assert (found["nats_share"].notna() == gains).all(), "no share of nothing"
    assert set(found["route"]) == {"best"}
    items = arrays_of(folder, "gaussian_linear_sbibm", "items.npz")
    for epsilon in BOX["epsilons"]:
        key = f"certify/shift/{epsilon!r}"
        reached = items[f"{key}/reached_total_variation"]
        assert (reached <= items[f"{key}/common_total_variation"] + 1e-9).all()
        np.testing.assert_allclose(
            items[f"{key}/gap_total_variation"], items[f"{key}/upper"] - reached
        )
        assert (items[f"{key}/gap_forward_kl"] >= -1e-9).all()
    largest = items["certify/shift/0.05/reached_forward_kl"]
    both = [items[f"attack/pgd/{epsilon!r}/common_forward_kl"] for epsilon in BOX["epsilons"]]
    np.testing.assert_allclose(largest, np.maximum(*both))


def test_radius_and_answers_are_items(folder):
    items = arrays_of(folder, "gaussian_linear_sbibm", "items.npz")
    small, large = (f"certify/shift/{epsilon!r}" for epsilon in BOX["epsilons"])
    assert (items[f"{small}/upper"] <= items[f"{large}/upper"]).all()
    expected = np.where(
        items[f"{large}/certified"], 0.05, np.where(items[f"{small}/certified"], 0.01, 0.0)
    )
    np.testing.assert_array_equal(items[f"{small}/radius"], expected)
    for label in ("probability_left", "quantile_0.5_theta_2"):
        assert (items[f"{small}/{label}_low"] >= items[f"{large}/{label}_low"]).all()
        assert (items[f"{small}/{label}_low"] <= items[f"{small}/{label}_high"]).all()
    for epsilon in BOX["epsilons"]:
        key = f"certify/density/{epsilon!r}"
        assert (items[f"{key}/reached"] <= items[f"{key}/upper"] + 1e-9).all()
        nll = -items[f"attack/pgd/{epsilon!r}/nll"]
        assert (items[f"{key}/log_density_least"] <= nll + 1e-6).all()
        assert (nll <= items[f"{key}/log_density_most"] + 1e-6).all()


def test_stated_thetas_are_bounded_at_real_observations(folder):
    found = arrays_of(folder, "lynx_hare", "posterior.npz")
    key = "certify/stated/0.001"
    assert found[f"{key}/log_density_least"].shape == (1, 2)
    assert (found[f"{key}/log_density_least"] <= found[f"{key}/log_density_most"]).all()
    assert found["certify/stated/thetas"].shape == (2, 8)
