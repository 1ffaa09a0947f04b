"""The rule that marks a task's best model, on tables small enough to do by hand."""

import math

import pandas as pd
import pytest

from certibayes.columns import COLUMNS
from certibayes.config.selection import Selection
from certibayes.report.selection import standings

RULE = Selection()


def rows(defense, fit, *, certified=(), attacked=(), accuracy=None, seed=0, task="shift"):
    """Return a model's lines: `certified` and `attacked` hold (epsilon, value, certified share)."""
    base = {"task": task, "budget": 10, "model": "maf", "defense": defense, "seed": seed}
    quantity = "total_variation_median" if accuracy is None else "accuracy"
    clean = {"stage": "evaluate", "method": "clean", "kind": "clean", "nll": fit}
    lines = [base | clean | {"accuracy": accuracy}]
    ball = {"norm": "linf", "unit": "raw"}
    kind = "posterior_shift" if accuracy is None else "decision"
    for epsilon, value, share in certified:
        about = {"stage": "certify", "method": "box", "kind": kind, "epsilon": epsilon}
        lines.append(base | ball | about | {quantity: value, "certified_share": share})
    for method, epsilon, value in attacked:
        about = {"stage": "attack", "method": method, "kind": method, "epsilon": epsilon}
        lines.append(base | ball | about | {quantity: value})
    return lines


def best(lines, rule=RULE, parameters=2):
    summary = pd.DataFrame(lines, columns=list(COLUMNS))
    keys = {tuple(row) for row in summary[["task", "budget", "model", "defense", "seed"]].values}
    found = standings(summary, dict.fromkeys(keys, parameters), rule)
    return [key for key, one in found.items() if one.best], found


def test_the_least_certified_shift_wins_among_those_that_keep_their_share():
    edge = 1.0 + 2 * math.log(2) - 1e-9
    lines = rows("none", 1.0, certified=[(0.1, 0.9, 0.0)])
    lines += rows("robust", edge, certified=[(0.1, 0.1, 1.0)])
    lines += rows("blind", edge + 1e-6, certified=[(0.1, 0.0, 1.0)])
    (winner,), found = best(lines)
    assert winner[3] == "robust"
    assert found["shift", 10, "maf", "robust", 0].share == pytest.approx(0.5)
    assert found["shift", 10, "maf", "blind", 0].value is None
    assert "box, linf, raw) at epsilon 0.1" in found[winner].criterion


def test_the_share_does_not_depend_on_the_units_of_theta():
    shares = []
    for constant in (0.0, -50.0, 50.0):
        lines = rows("none", 1.0 + constant) + rows("robust", 1.7 + constant)
        shares.append(best(lines)[1]["shift", 10, "maf", "robust", 0].share)
    assert shares == pytest.approx([math.exp(-0.35)] * 3)


def test_the_radius_is_the_largest_where_the_median_of_some_model_is_certified():
    grid = [(0.1, 0.30, 0.4), (0.2, 0.5, 0.0), (0.3, 1.0, 0.0)]
    robust = [(0.1, 0.15, 0.9), (0.2, 0.19, 0.6), (0.3, 1.0, 0.0)]
    lines = rows("none", 1.0, certified=grid) + rows("robust", 1.1, certified=robust)
    (winner,), found = best(lines)
    assert winner[3] == "robust"
    assert found[winner].value == 0.19
    (winner,), found = best(rows("none", 1.0, certified=grid))
    assert found[winner].value == 0.30


def test_without_certificates_the_worst_attack_decides_and_noise_does_not():
    none = [("noise", 0.1, 0.0), ("pgd", 0.1, 0.5), ("fgsm", 0.1, 0.2), ("pgd", 0.05, 0.0)]
    robust = [("noise", 0.1, 0.9), ("pgd", 0.1, 0.3), ("fgsm", 0.1, 0.4), ("pgd", 0.05, 0.1)]
    lines = rows("none", 1.0, attacked=none) + rows("robust", 1.1, attacked=robust)
    (winner,), found = best(lines)
    assert winner[3] == "robust"
    assert found[winner].value == 0.4
    assert best(lines, Selection(by="fit"))[0][0][3] == "none"


def test_without_anything_else_the_best_fit_decides_and_the_first_of_equals():
    lines = rows("none", 2.0) + rows("a", 1.5, seed=0) + rows("a", 1.5, seed=1)
    (winner,), _ = best(lines)
    assert winner == ("shift", 10, "maf", "a", 0)


def test_of_equal_certificates_the_better_fit_wins():
    lines = rows("none", 1.0, certified=[(0.1, 0.1, 1.0)])
    lines += rows("robust", 0.9, certified=[(0.1, 0.1, 1.0)])
    assert best(lines)[0][0][3] == "robust"


def test_classifiers_are_compared_by_certified_accuracy_and_keep_a_share_of_the_accuracy():
    lines = rows("none", 0.3, accuracy=1.0, certified=[(0.1, 0.2, 0.2)])
    lines += rows("robust", 0.3, accuracy=0.96, certified=[(0.1, 0.6, 0.6)])
    lines += rows("blind", 0.3, accuracy=0.94, certified=[(0.1, 0.9, 0.9)])
    (winner,), found = best(lines)
    assert winner[3] == "robust"
    assert found[winner].value == 0.6
    assert "certified accuracy" in found[winner].criterion


def test_every_task_has_a_best_model_and_a_broken_one_is_none():
    lines = rows("none", math.nan, task="broken") + rows("none", 1.0, task="sound")
    winners, _ = best(lines)
    assert [winner[0] for winner in winners] == ["sound"]


def test_a_task_whose_classifiers_are_all_wrong_has_a_best_model_too():
    lines = rows("none", 2.0, accuracy=0.0) + rows("robust", 2.0, accuracy=0.0)
    assert best(lines)[0] == [("shift", 10, "maf", "none", 0)]
