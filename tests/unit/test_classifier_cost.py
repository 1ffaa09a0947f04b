"""The page of costs measures pairs of the study and judges every one."""

from importlib import import_module
from pathlib import Path

import pytest

from certibayes.config import load
from certibayes.config.jobs import model_jobs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def costs(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return import_module("classifier_cost")


@pytest.fixture
def study(costs):
    return load(ROOT / costs.STUDY)


def timing(standard, defense, certified):
    seconds = {"none": [standard] * 3, defense: [certified] * 3}
    return {"seconds": seconds, "steps": 2, "date": "today", "machine": "a machine"}


def test_pairs_are_of_the_study(costs, study):
    jobs = {(one.model, one.defense) for one in model_jobs(study)}
    for pair in costs.PAIRS:
        assert {(pair.model, pair.defense), (pair.model, "none")} <= jobs


def test_every_pair_is_judged_by_its_own_limit(costs, study):
    timings = [timing(1.0, pair.defense, pair.most) for pair in costs.PAIRS]
    page = costs.page(study, timings, "a clock")
    assert page.count("| met |") == len(costs.PAIRS)
    assert page.endswith("Target met.\n")
    timings[0] = timing(1.0, costs.PAIRS[0].defense, 2.6)
    page = costs.page(study, timings, "a clock")
    assert page.count("| missed |") == 1
    assert page.endswith("Target missed.\n")


def test_certified_steps_change_weights(costs, study):
    pair = costs.PAIRS[0]
    trainee = costs._trainee(study, pair, pair.defense, iter(range(9)).__next__)
    before = [weight.detach().clone() for weight in trainee.inference.parameters()]
    assert trainee.steps(1) == 1
    assert any(
        not now.equal(then)
        for now, then in zip(trainee.inference.parameters(), before, strict=True)
    )
