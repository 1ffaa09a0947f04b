"""Attacks on the first observations of a classifier, and on foreign inputs."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from certibayes.bnn.predictive import Predictive
from certibayes.config.attacks import PGD
from certibayes.config.jobs import attack_job, model_jobs
from certibayes.config.study import Study
from certibayes.registry import load
from certibayes.report.accuracy_invariants import accuracy_findings
from certibayes.report.items import Items, Method
from certibayes.report.levels import on_most_observations
from certibayes.seeding import generator
from certibayes.stages import attack_blocks, evaluate_outside_attack
from certibayes.stages.attack_files import StoredAttack
from certibayes.threat import Ball

BALL = {"norm": "linf", "unit": "raw", "epsilons": (0.1,)}


def study_of(**attack):
    return Study.model_validate(
        {
            "study": "mine",
            "models": {"net": {"network": {"kind": "mlp"}}},
            "attacks": {
                "few": {"kind": "pgd", "objective": "margin", "perturbation": BALL, **attack},
            },
            "evaluation": {"observations": 300},
            "experiments": [{"task": "digits", "budget": 1297, "model": "net", "attacks": ["few"]}],
        }
    )


@pytest.mark.parametrize(("stated", "taken"), [(None, 300), (100, 100), (1000, 300)])
def test_an_attack_takes_the_first_observations_that_it_states(stated, taken):
    (job,) = model_jobs(study_of(observations=stated))
    assert attack_job(job, "few").observations == taken


@pytest.mark.parametrize("key", [{"observations": 5}, {"outside": True}])
def test_attacks_on_posteriors_take_all(key):
    with pytest.raises(ValueError, match=r"with objective 'forward_kl'.*allowed: only with exp"):
        PGD(objective="forward_kl", perturbation=BALL, **key)


def items_of(correct, certified):
    methods = tuple(
        Method(stage, name, "linf", "raw", "null", kind)
        for stage, name, kind in (("attack", "few", "pgd"), ("certify", "stored", "decision"))
    )
    arrays = {
        "clean/correct": np.array([True, True, True, False]),
        "attack/few/0.1/correct": np.array(correct),
        "certify/stored/0.1/certified": np.array(certified),
    }
    return Items("scope", methods, arrays)


@pytest.mark.parametrize(
    ("correct", "certified", "holds"),
    [
        ([True, False], [True, False, True, False], True),
        ([False, True], [True, False, True, False], False),
    ],
)
def test_image_by_image_the_attacked_ones_are_compared(correct, certified, holds):
    found = {one.name: one.holds for one in accuracy_findings(items_of(correct, certified))}
    assert found["accuracy: certified <= attacked"] is holds
    assert found["accuracy: attacked <= clean"]
    assert found["accuracy: certified <= clean"]


def test_of_one_ball_attacks_on_most_observations_count():
    import pandas as pd

    table = pd.DataFrame(
        {
            "epsilon": [0.1, 0.1, 0.2],
            "observations": [100, 1000, 100],
            "method": ["few", "all", "few"],
        }
    )
    kept = on_most_observations(table, ["epsilon"])
    assert kept["method"].tolist() == ["all", "few"]


@pytest.fixture
def sure_of_bright_inputs():
    """Logits (4 times the sum of x, 0): the least sure where x is 0."""
    network = torch.nn.Sequential(torch.nn.Linear(3, 2)).double()
    weight = torch.tensor([[4.0, 4.0, 4.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    samples = {"0.weight": weight.expand(2, 2, 3), "0.bias": torch.zeros(2, 2).double()}
    return Predictive(network, samples).eval().requires_grad_(False)


def test_attacked_foreign_inputs_are_harder_to_tell(sure_of_bright_inputs, monkeypatch):
    own = 0.3 + 0.1 * torch.rand(40, 3, generator=generator("own"), dtype=torch.float64)
    foreign = 0.1 * torch.rand(40, 3, generator=generator("foreign"), dtype=torch.float64)
    monkeypatch.setattr(evaluate_outside_attack, "foreign_inputs", lambda *_: foreign)
    auroc = {}
    for radius in (0.0, 0.4):
        ball = Ball("linf", torch.full((3,), radius, dtype=torch.float64), (0.0, 1.0))
        monkeypatch.setattr(evaluate_outside_attack, "ball_of", lambda *_, ball=ball: ball)
        spec = PGD(objective="margin", perturbation=BALL, steps=5, restarts=1, outside=True)
        job = SimpleNamespace(
            evaluation=SimpleNamespace(outside="mnist"), study_seed=0, task="mine", seed=0
        )
        attack = StoredAttack("quick", spec, 0.1, own, torch.zeros(40))
        columns = evaluate_outside_attack.attacked_outside_columns(
            job, None, None, sure_of_bright_inputs, attack, own
        )
        name = "outside_attacked_entropy_auroc"
        assert columns[f"{name}_low"] <= columns[name] <= columns[f"{name}_high"]
        auroc[radius] = columns[name]
    assert auroc[0.0] == 1.0
    assert auroc[0.4] < 0.3


def test_blocks_of_observations_are_attacked_like_all_at_once(sure_of_bright_inputs, monkeypatch):
    """The first block is what an attack on it alone finds; no block is forgotten."""
    spec = PGD(objective="margin", perturbation=BALL, steps=5, restarts=1, points=1)
    search, objective = load("attack", "pgd")(spec), load("objective", "margin")()
    x = 0.5 + 0.1 * torch.rand(7, 3, generator=generator("x"), dtype=torch.float64)
    labels = torch.zeros(7, dtype=torch.long)
    ball = Ball("linf", torch.full((3,), 0.3, dtype=torch.float64), (0.0, 1.0))
    three_rows = 3 * sure_of_bright_inputs.samples * x.shape[1]
    monkeypatch.setattr(attack_blocks, "ENTRIES_AT_ONCE", three_rows)
    found = attack_blocks.attack_blocks(
        search, sure_of_bright_inputs, x, labels, objective, ball, 5
    )
    alone = search.attack(sure_of_bright_inputs, x[:3], labels[:3], objective, ball, 5)
    assert torch.equal(found.x[:3], alone.x)
    torch.testing.assert_close(found.x, (x - 0.3).clamp(min=0.0))
    assert found.objective.shape == (7,)
