"""The page of the study of certified posteriors, from results that are made up."""

from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
from report_example import write_posterior

from certibayes.config import load

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "studies" / "certified_posteriors.yaml"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return lambda part: import_module(f"certified_posteriors{part}")


@pytest.fixture
def made_up(tmp_path, benchmark):
    """Two seeds of the undefended and of the robust one-transform flow, one radius of the study."""
    for defense in ("none", "robust_large"):
        for seed in (0, 1):
            folder = write_posterior(
                tmp_path, "gaussian_linear_sbibm", "maf_one", defense, seed, observed=True
            )
            table = pd.read_csv(folder / "metrics.csv").copy()
            shift = table["kind"] == "posterior_shift"
            bound = 0.07 if defense == "robust_large" else 0.3
            table.loc[shift, "total_variation_median"] = bound
            table["kl_estimate_median"] = table["kl_estimate_median"].astype(float)
            table.loc[shift, "kl_estimate_median"] = 0.002
            clean = table["kind"] == "clean"
            table.loc[clean, "nats"] = 3.5 if defense == "robust_large" else 4.0
            table.to_csv(folder / "metrics.csv", index=False)
    return benchmark("_results").Results.read(tmp_path)


def lines(text, *wanted):
    return [line for line in text.splitlines() if all(part in line for part in wanted)]


def test_every_target_is_part_of_the_study(benchmark):
    study = load(STUDY)
    balls, defenses, seeds = {}, {}, {}
    for one in study.experiments:
        key = one.task, one.model
        defenses.setdefault(key, set()).update(one.defenses)
        seeds.setdefault(key, set()).add(len(one.seeds))
        for name in one.certificates:
            grid = study.certificates[name].perturbation
            for defense in one.defenses:
                ball = f"{grid.norm}, {grid.unit}"
                balls.setdefault((*key, defense == "none"), set()).update(
                    (ball, epsilon) for epsilon in grid.epsilons
                )
    for target in benchmark("_targets").TARGETS:
        for model in target.models:
            found = balls[target.task, model, target.undefended]
            assert any(
                target.ball.startswith(ball) and target.epsilon == epsilon
                for ball, epsilon in found
            )
            assert seeds[target.task, model] == {target.seeds}
            assert "none" in defenses[target.task, model]
            assert target.undefended or len(defenses[target.task, model]) > 1


def test_the_study_certifies_as_the_targets_ask():
    study = load(STUDY)
    for spec in study.certificates.values():
        assert spec.confidence == 0.999
        assert spec.bounds == "closed_form" or spec.draws >= 4_000
    assert study.evaluation.observations == 200
    assert {one.budget for one in study.experiments} == {50_000}


def test_what_was_run_stands_beside_what_was_wanted(benchmark, made_up):
    page = benchmark("").page(load(STUDY), made_up)
    (line,) = lines(page, "MAF, 1 transform |", "feature_std 0.02")
    assert "maf_one, robust_large, 2" in line
    assert "0.0316 (0.0316 to 0.0316) / 0.002 (0.002 to 0.002)" in line
    assert "| 0.070 (0.070 to 0.070) |" in line
    assert "| 0.875 (0.875 to 0.875) |" in line
    assert line.endswith("yes (2 of 3 seeds) |")
    assert len(lines(page, "maf_one | robust_large", "feature_std 0.05")) == 1


def test_what_was_not_run_says_so(benchmark, made_up, tmp_path):
    page = benchmark("").page(load(STUDY), made_up)
    targets = benchmark("_targets").TARGETS
    assert len(lines(page, "not run |")) == len(targets) - 1
    nothing = benchmark("_results").Results.read(tmp_path / "nowhere")
    empty = benchmark("").page(load(STUDY), nothing)
    assert "Nothing has been run yet." in empty
    assert len(lines(empty, "not run |")) == len(targets)


def test_a_target_is_missed_if_one_seed_misses_or_too_little_is_known(benchmark, made_up):
    module = benchmark("_targets")
    target = next(t for t in module.TARGETS if t.what == "MAF, 1 transform" and t.epsilon == 0.02)
    assert module.best(made_up, target).met
    for column, value in (("certified", 0.081), ("kl_estimate", 0.004), ("nats_share", 0.79)):
        shifts = made_up.shifts.copy()
        one = (shifts["defense"] == "robust_large") & (shifts["seed"] == 1)
        shifts.loc[one, column] = value
        changed = type(made_up)(made_up.models, shifts, made_up.observed, made_up.posteriors)
        assert not module.best(changed, target).met
