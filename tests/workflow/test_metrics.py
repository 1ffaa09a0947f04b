"""What evaluate reports for attacks of every objective, for a task with and without exactness."""

import in_process
import numpy as np
import pandas as pd
import pytest

from certibayes.columns import COVERAGE_COLUMNS, PARAMETER_COLUMNS
from certibayes.config.jobs import model_jobs
from certibayes.io import load_arrays

EPSILON = 0.3
OBJECTIVES = ("forward_kl", "nll", "mmd", "toward_theta", "toward_posterior")
OBSERVATIONS = 6


def noise(objective):
    ball = {"norm": "linf", "unit": "feature_std", "epsilons": [EPSILON]}
    return {"kind": "noise", "objective": objective, "perturbation": ball, "selection_draws": 256}


STUDY = {
    "study": "metrics",
    "models": {
        "gaussian": {
            "estimator": {"kind": "gaussian", "hidden": [16]},
            "training": {"epochs": 2, "batch_size": 64},
        }
    },
    "attacks": {name: noise(name) for name in OBJECTIVES},
    "evaluation": {
        "observations": OBSERVATIONS,
        "report_draws": 300,
        "coverage_draws": 50,
        "c2st_observations": 1,
        "c2st_draws": 100,
        "c2st_attacked_observations": 1,
        "predictive_draws": 8,
        "predictive_observations": 4,
    },
    "tracking": {"mode": "off"},
    "experiments": [
        {"task": task, "budget": 200, "model": "gaussian", "attacks": list(OBJECTIVES)}
        for task in ("gaussian_linear", "lynx_hare")
    ],
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Per task: metrics, items, parameters and coverage of one model."""
    folder = tmp_path_factory.mktemp("metrics")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(in_process.report, "run", lambda job, layout, code: None)
        in_process.run_study(folder, STUDY)
    study, layout = in_process.load_study(folder, STUDY)
    read = {}
    for job in model_jobs(study):
        place = layout.evaluate(job)
        tables = [
            pd.read_csv(place / f"{name}.csv") for name in ("metrics", "parameters", "coverage")
        ]
        read[job.task] = (*tables, load_arrays(place / "items.npz"))
    return read


@pytest.mark.parametrize("task", ["gaussian_linear", "lynx_hare"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_objective_is_that_of_the_search(found, task, objective):
    """Without draws, or in closed form, it is the same number; with draws, up to their noise."""
    metrics, _, _, items = found[task]
    key = f"attack/{objective}/{EPSILON!r}"
    fresh, selected = items[f"{key}/objective"], items[f"{key}/selected"]
    assert fresh.shape == selected.shape == (OBSERVATIONS,)
    if objective == "forward_kl":
        assert (np.abs(fresh - selected) <= 4 * items[f"{key}/forward_kl_se"] + 0.01).all()
    elif objective == "mmd":
        assert fresh.mean() == pytest.approx(selected.mean(), rel=0.6)
    else:
        np.testing.assert_allclose(fresh, selected, rtol=1e-3)
    row = metrics[metrics["method"] == objective].iloc[0]
    assert row["objective_median"] == pytest.approx(np.median(fresh))
    assert row["objective_median"] >= row["objective_clean_median"] - 0.05
    if objective == "nll":
        np.testing.assert_allclose(fresh, items[f"{key}/nll"])


@pytest.mark.parametrize("task", ["gaussian_linear", "lynx_hare"])
def test_every_row_is_calibrated_simulated_and_compared(found, task):
    metrics, parameters, coverage, items = found[task]
    filled = ["sbc_p", "tarp_area", "tarp_bias", "tarp_p", "predictive_l2_median"]
    assert metrics[filled].notna().all(axis=None)
    assert (metrics["predictive_simulations"] == 32).all()
    attacks = metrics[metrics["stage"] == "attack"]
    assert attacks[["mmd_median", "mmd_low", "mmd_high"]].notna().all(axis=None)
    assert list(coverage.columns) == list(COVERAGE_COLUMNS)
    assert list(parameters.columns) == list(PARAMETER_COLUMNS)
    assert len(parameters) == (1 + len(OBJECTIVES)) * parameters["parameter"].nunique()
    assert items["clean/sbc_ranks"].max() <= items["clean/sbc_draws"]


def test_exact_columns_are_filled_where_the_exact_posterior_is_known(found):
    exact = ["exact_kl_median", "exact_mmd_median", "c2st"]
    assert found["gaussian_linear"][0][exact].notna().all(axis=None)
    assert found["lynx_hare"][0][exact].isna().all(axis=None)
    metrics = found["gaussian_linear"][0]
    attacks = metrics[metrics["stage"] == "attack"]
    assert (attacks["exact_shift_kl_median"] > 0).all()
