"""Pixels that never vary: held fixed, or perturbed, certified and trained against like all."""

import numpy as np
import pandas as pd
import pytest
from in_process import run_study

from certibayes.io import load_arrays, read_json

NEVER_VARY = [0, 32, 39]
BALL = {"norm": "linf", "unit": "raw"}
STUDY = {
    "study": "pixels",
    "models": {
        "net": {
            "network": {"kind": "mlp", "hidden": [8]},
            "training": {"epochs": 2, "batch_size": 64},
        }
    },
    "defenses": {"robust": {"kind": "robust_likelihood", "perturbation": {**BALL, "epsilon": 0.1}}},
    "attacks": {
        "pgd": {"kind": "pgd", "objective": "margin", "perturbation": {**BALL, "epsilons": [0.1]}}
        | {"steps": 3, "adaptive": None}
    },
    "certificates": {"dec": {"kind": "decision", "perturbation": {**BALL, "epsilons": [0.1]}}},
    "evaluation": {"observations": 20},
    "experiments": [
        {"task": "digits", "budget": 300, "model": "net", "defenses": ["robust"]}
        | {"attacks": ["pgd"], "certificates": ["dec"]}
    ],
}


@pytest.mark.parametrize("perturbed", [False, True])
def test_one_setting_of_the_task_decides_for_all_stages(tmp_path, perturbed):
    stated = {} if perturbed else {"perturb_inactive": False}
    layout = run_study(tmp_path, STUDY | {"tasks": {"digits": {"kind": "digits"} | stated}})
    stored = read_json(layout.root / "digits" / "simulate" / "reference" / "scale.json")
    held = 0 if perturbed else 3
    assert (stored["inactive_features"], stored["perturb_inactive"]) == (held, perturbed)
    assert np.flatnonzero(np.array(stored["feature_std"]) == 0).tolist() == NEVER_VARY
    path = layout.root / "digits/n300/net/robust/seed0/attack/pgd/attack.npz"
    x = load_arrays(layout.root / "digits" / "simulate" / "reference" / "test.npz")["x"][:20]
    moved = (np.abs(load_arrays(path)["x"][0] - x) > 0.05).any(0)
    assert moved[NEVER_VARY].any() == perturbed
    summary = pd.read_csv(layout.root / "summary.csv")
    assert set(summary["inactive_features"]) == {held}
