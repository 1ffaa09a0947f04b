"""The page of the 2021 study, from results that are made up."""

import json
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from certibayes.columns import COLUMNS
from certibayes.config import load
from certibayes.config.inference import Variational
from certibayes.config.jobs import model_jobs

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "studies" / "wicker2021.yaml"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return lambda part: import_module(f"wicker2021{part}")


def write(base, model, defense, clean, certified, **columns):
    """Leave a model's evaluation; its first certified image is wrong under attack if `broken`."""
    broken = columns.pop("broken", False)
    place = {"task": "mnist", "budget": 60_000, "model": model, "defense": defense, "seed": 0}
    folder = base / "mnist" / "n60000" / model / defense / "seed0" / "evaluate"
    folder.mkdir(parents=True)
    ball = {"norm": "linf", "unit": "raw", "epsilon": 0.1, "observations": 10_000}
    rows = [
        {"stage": "evaluate", "method": "clean", "kind": "clean", "accuracy": clean, **columns},
        {"stage": "attack", "method": "quick", "kind": "pgd", "accuracy": clean - 0.02, **ball},
        {"stage": "certify", "method": "stored", "kind": "decision", "accuracy": certified, **ball},
    ]
    table = pd.DataFrame([{**place, **row} for row in rows]).reindex(columns=list(COLUMNS))
    table.to_csv(folder / "metrics.csv", index=False)
    about = {"norm": "linf", "unit": "raw", "clip": None}
    meta = {"quick": {**about, "kind": "pgd"}, "stored": {**about, "kind": "decision"}}
    np.savez(
        folder / "items.npz",
        meta=json.dumps(meta),
        **{
            "clean/correct": np.ones(3, bool),
            "attack/quick/0.1/correct": np.array([not broken, True, False]),
            "certify/stored/0.1/certified": np.array([True, True, False]),
        },
    )


ALIVE = {"weight_std": 0.5, "disagreement": 0.02, "train_seconds": 60.0}


@pytest.fixture
def made_up(tmp_path, benchmark):
    def read(**changes):
        twin = ALIVE | {"weight_std": 0.0, "disagreement": 0.0}
        write(tmp_path, "mlp_map", "ibp", 0.96, 0.84, **twin)
        calibrated = {"nll": 0.2, "nll_low": 0.19, "nll_high": 0.21, "ece": 0.05}
        write(tmp_path, "mlp_bbb", "ibp", 0.96, 0.83, **(ALIVE | calibrated | changes))
        plain = {"nll": 0.1, "nll_low": 0.09, "nll_high": 0.11, "ece": 0.05}
        write(tmp_path, "mlp_bbb", "none", 0.98, 0.0, **(ALIVE | plain))
        write(tmp_path, "mlp_vogn", "ibp", 0.96, 0.825, **ALIVE)
        write(tmp_path, "cnn_map", "ibp_image", 0.98, 0.95, **ALIVE, broken="cnn" in changes)
        study = load(STUDY)
        return benchmark("").page(study, benchmark("_results").Results.read(study, tmp_path))

    return read


def line(text, *wanted):
    (found,) = (one for one in text.splitlines() if all(part in one for part in wanted))
    return found


def test_every_table_has_the_twin_and_a_deep_ensemble():
    study = load(STUDY)
    groups = {}
    for job in model_jobs(study):
        key = (job.task, job.model.partition("_")[0], job.defense)
        groups.setdefault(key, set()).add(study.models[job.model].inference.kind)
    regimes = {key: kinds for key, kinds in groups.items() if kinds & {"bbb", "vogn"}}
    assert regimes
    for kinds in regimes.values():
        assert kinds >= {"map"}
    named = {"ibp", "ibp_image", "ibp_color", "ibp_long", "ibp_color_long", "none"}
    for (_, _, defense), kinds in regimes.items():
        if defense in named:
            assert kinds >= {"map", "ensemble"}


def test_the_study_is_what_the_targets_ask_for(benchmark):
    study = load(STUDY)
    jobs = {(one.task, one.model, one.defense): one for one in model_jobs(study)}
    for target in benchmark("_targets").TARGETS:
        twin = jobs[target.task, f"{target.network}_map", target.defense]
        assert twin.defense_spec.perturbation.epsilon == target.epsilon
        assert twin.evaluation.observations == 10_000
        (certificate,) = (one for one in twin.certificates.values() if one.kind == "decision")
        assert target.epsilon in certificate.perturbation.epsilons
        assert all(target.epsilon in one.perturbation.epsilons for one in twin.attacks.values())
    for spec in study.models.values():
        if isinstance(spec.inference, Variational):
            assert spec.inference.stored_samples >= 32


def test_what_was_not_run_is_said(benchmark, tmp_path):
    study = load(STUDY)
    page = benchmark("").page(study, benchmark("_results").Results.read(study, tmp_path))
    assert f"0 of {len(model_jobs(study))} models" in page
    assert len(re.findall(r"\| not run \| not run \|$", page, re.MULTILINE)) >= 6
    listed = page.partition("## Not run")[2]
    for job in model_jobs(study):
        assert job.defense in line(listed, f"| {job.task} | `{job.model}` |")
    assert "### mnist" not in page


def test_targets_that_are_met(made_up):
    page = made_up()
    assert "twin +1.0 points" in line(page, "epsilon 0.1, ibp: `mlp_bbb`, KL weight")
    assert line(page, "| mnist, mlp", "variational methods").endswith("| 2 | met |")
    assert line(page, "an attack in the ball").endswith(
        "| 0 of 2 verdicts met by an attack | met |"
    )
    assert line(page, "| mnist, cnn, epsilon").endswith("| met |")


@pytest.mark.parametrize(
    ("count", "sentence"),
    [
        (0, "Every pixel may be perturbed."),
        (67, "never vary in training are held fixed: 67 of mnist for `mlp_bbb`."),
    ],
)
def test_pixels_that_no_ball_moves_are_named(made_up, count, sentence):
    assert sentence in made_up(inactive_features=count)


@pytest.mark.parametrize("collapsed", [{"weight_std": 0.01, "disagreement": 0.001}])
def test_a_collapsed_posterior_meets_nothing(made_up, collapsed):
    page = made_up(**collapsed)
    assert line(page, "epsilon 0.1, ibp: `mlp_bbb`").endswith("| missed |")
    assert line(page, "| mnist, mlp", "variational methods").endswith("| 1 | missed |")


def test_an_attack_that_breaks_a_certificate_is_counted(made_up):
    page = made_up(cnn=1.0)
    assert line(page, "an attack in the ball").endswith(
        "| 1 of 2 verdicts met by an attack | missed |"
    )


def test_the_question_is_answered_from_intervals(made_up):
    page = made_up()
    answer = line(page, "| mnist | `mlp_bbb` | ibp | NLL |")
    assert answer.endswith("| 0.100 (0.090 to 0.110) | 0.200 (0.190 to 0.210) | no |")
    assert line(page, "| mnist | `mlp_bbb` | ibp | ECE |").endswith("| not told |")
    assert "- NLL: yes 0, no 1, not told 0, of 1." in page
