"""Every option of a study file leads to a report whose invariants hold."""

import pandas as pd
import pytest
from in_process import run_study

from certibayes.report.invariants import broken

TRAINING = {"epochs": 2, "batch_size": 64}
SPHERE = {"norm": "l2", "unit": "within_std"}
RAW = {"norm": "l2", "unit": "raw"}
BOX = {"norm": "linf", "unit": "feature_std"}
SMALL = {
    "observations": 5,
    "report_draws": 256,
    "coverage_draws": 30,
    "c2st_observations": 1,
    "c2st_draws": 60,
}


def shift(perturbation, interval):
    return {
        "kind": "posterior_shift",
        "perturbation": perturbation,
        "draws": 150,
        "comparison_draws": 50,
        "confidence": 0.95,
        "interval": interval,
    }


POSTERIORS = {
    "study": "posteriors",
    "seed": 3,
    "tasks": {"few_tests": {"kind": "gaussian_linear", "test_pairs": 50}},
    "models": {
        "one": {
            "estimator": {"kind": "maf", "transforms": 1, "hidden": 12, "blocks": 1},
            "training": {**TRAINING, "patience": 1},
        },
        "head": {
            "estimator": {"kind": "gaussian", "hidden": [], "squash": True},
            "training": TRAINING,
        },
    },
    "defenses": {
        "fisher": {"kind": "fisher", "beta": 0.1, "draws": 2, "warm_start": False},
        "inside": {
            "kind": "robust_likelihood",
            "perturbation": {**SPHERE, "epsilon": 0.1},
            "mixing": "inside",
            "warm_start": True,
            "training": {"epochs": 1},
        },
        "pure": {
            "kind": "robust_likelihood",
            "perturbation": {**RAW, "epsilon": 0.01},
            "clean_weight": 0.0,
            "initialization": "interval",
            "ramp_fraction": 0.0,
        },
    },
    "attacks": {
        "noise": {
            "kind": "noise",
            "objective": "reverse_kl",
            "perturbation": {**SPHERE, "epsilons": [0.0, 0.3]},
        },
        "pgd": {
            "kind": "pgd",
            "objective": "reverse_kl",
            "perturbation": {**SPHERE, "epsilons": [0.0, 0.3]},
            "steps": 2,
            "restarts": 9,
            "selection_every": 0,
        },
        "box": {
            "kind": "pgd",
            "objective": "forward_kl",
            "perturbation": {**BOX, "epsilons": [0.05]},
            "steps": 2,
        },
    },
    "certificates": {
        "sphere": shift({**SPHERE, "epsilons": [0.0, 0.3]}, "hoeffding"),
        "betting": shift({**BOX, "epsilons": [0.05]}, "betting"),
    },
    "evaluation": SMALL,
    "tracking": {"mode": "off"},
    "experiments": [
        {
            "task": "few_tests",
            "budget": 400,
            "model": model,
            "defenses": ["none", "fisher", "inside", "pure"],
            "attacks": ["noise", "pgd", "box"],
            "certificates": ["sphere", "betting"],
            "seeds": [0, 7],
        }
        for model in ("one", "head")
    ],
}

LABELS = {
    "study": "labels",
    "models": {
        "point": {"network": {"kind": "mlp", "hidden": []}, "training": TRAINING},
        "deep": {
            "network": {"kind": "mlp", "hidden": [12, 8]},
            "inference": {"kind": "bbb", "train_samples": 2, "stored_samples": 3},
            "training": {**TRAINING, "patience": 1},
        },
    },
    "defenses": {
        "fisher": {"kind": "fisher", "beta": 0.1},
        "robust": {
            "kind": "robust_likelihood",
            "perturbation": {**RAW, "epsilon": 0.1},
            "mixing": "inside",
            "warm_start": True,
        },
    },
    "attacks": {
        kind: {
            "kind": kind,
            "objective": "expected_loss",
            "perturbation": {**RAW, "epsilons": [0.0, 0.3]},
        }
        for kind in ("noise", "pgd")
    },
    "certificates": {
        "decision": {"kind": "decision", "perturbation": {**RAW, "epsilons": [0.0, 0.3]}}
    },
    "evaluation": {**SMALL, "observations": 40},
    "tracking": {"mode": "off"},
    "experiments": [
        {
            "task": "digits",
            "budget": 300,
            "model": model,
            "defenses": ["none", "fisher", "robust"],
            "attacks": ["noise", "pgd"],
            "certificates": ["decision"],
        }
        for model in ("point", "deep")
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("values", [POSTERIORS, LABELS], ids=lambda values: values["study"])
def test_every_option_leads_to_a_report_whose_invariants_hold(tmp_path, values):
    layout = run_study(tmp_path, values)
    assert broken(layout.root / "invariants.json") == []
    summary = pd.read_csv(layout.root / "summary.csv")
    experiments = values["experiments"]
    models = sum(len(e["defenses"]) * len(e.get("seeds", [0])) for e in experiments)
    assert len(summary[["model", "defense", "seed"]].drop_duplicates()) == models
    unmoved = summary[(summary["epsilon"] == 0) & (summary["stage"] == "attack")]
    clean = summary[summary["stage"] == "evaluate"].set_index(["model", "defense", "seed"])
    for _, row in unmoved.iterrows():
        before = clean.loc[(row["model"], row["defense"], row["seed"])]
        for column in ("forward_kl_median", "total_variation_median"):
            assert pd.isna(row[column]) or row[column] == 0
        assert pd.isna(row["accuracy"]) or row["accuracy"] == before["accuracy"]
