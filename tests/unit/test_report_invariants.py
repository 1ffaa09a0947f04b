import json

import numpy as np
import pytest
from report_example import ITEMS, tamper, write_classifier, write_posterior

from certibayes.report import invariants


def raised(position, by):
    def change(values):
        values[position] += by
        return values

    return change


def flipped(to):
    return lambda values: np.full_like(values, to)


def broken_names(folder):
    return {one.name for one in invariants.check([folder]) if not one.holds}


@pytest.mark.parametrize("write", [write_posterior, write_classifier])
@pytest.mark.parametrize("defense", ["none", "robust"])
def test_a_sound_model_breaks_nothing(tmp_path, write, defense):
    found = invariants.check([write(tmp_path, defense=defense)])
    assert found
    assert all(one.holds for one in found), [one for one in found if not one.holds]


def test_every_comparison_is_made(tmp_path):
    found = invariants.check([write_posterior(tmp_path), write_classifier(tmp_path)])
    assert {one.name for one in found} == {
        "total variation: attacked <= certified",
        "forward KL: attacked <= certified",
        "forward_kl: noise <= attacked, selection draws",
        "forward_kl: noise <= attacked, reporting draws in aggregate",
        "expected_loss: noise <= attacked, selection draws",
        "correct: noise <= attacked, reporting draws in aggregate",
        "accuracy: attacked <= clean",
        "accuracy: certified <= attacked",
        "accuracy: certified <= clean",
        "verdicts: exactly one per observation",
    }


POSTERIOR_CASES = {
    "attack__pgd__0.02__common_total_variation": (
        raised(7, 2.0),
        "total variation: attacked <= certified",
    ),
    "attack__noise__0.02__common_forward_kl": (
        raised(7, 99.0),
        "forward KL: attacked <= certified",
    ),
    "certify__box__0.05__common_total_variation": (
        raised(3, np.nan),
        "total variation: attacked <= certified",
    ),
    "attack__noise__0.05__selected": (
        raised(0, 1.0),
        "forward_kl: noise <= attacked, selection draws",
    ),
    "attack__noise__0.01__forward_kl": (
        raised(slice(None), 1.0),
        "forward_kl: noise <= attacked, reporting draws in aggregate",
    ),
    "attack__pgd__0.01__forward_kl": (
        raised(4, np.nan),
        "forward_kl: noise <= attacked, reporting draws in aggregate",
    ),
    "certify__box__0.01__refuted": (flipped(True), "verdicts: exactly one per observation"),
}


@pytest.mark.parametrize("key", POSTERIOR_CASES)
def test_a_broken_divergence_is_found_and_nothing_else(tmp_path, key):
    folder = write_posterior(tmp_path)
    change, name = POSTERIOR_CASES[key]
    tamper(folder, **{key: change})
    assert broken_names(folder) == {name}


def test_rounding_of_common_draws_is_tolerated(tmp_path):
    folder = write_posterior(tmp_path)
    with np.load(folder / "items.npz") as file:
        bound = file["certify/box/0.05/common_total_variation"]
    key = "attack__pgd__0.05__common_total_variation"
    tamper(folder, **{key: lambda values: bound + 5e-10})
    assert broken_names(folder) == set()
    tamper(folder, **{key: lambda values: bound + 1e-8})
    assert broken_names(folder) == {"total variation: attacked <= certified"}


def test_certified_but_wrong_under_a_smaller_attack_is_found(tmp_path):
    folder = write_classifier(tmp_path, defense="robust")
    with np.load(folder / "items.npz") as file:
        certified = file["certify/box/0.05/certified"]
    victim = int(certified.argmax())

    def wrong(values):
        values[victim] = False
        return values

    assert certified[victim]
    tamper(folder, **{"attack__noise__0.01__correct": wrong})
    found = [one for one in invariants.check([folder]) if not one.holds]
    assert {(one.name, one.epsilon) for one in found} >= {
        ("accuracy: certified <= attacked", epsilon) for epsilon in (0.01, 0.02, 0.05)
    }
    assert f"first {victim}" in found[0].detail


def test_a_larger_attack_says_nothing_about_a_smaller_certificate(tmp_path):
    folder = write_classifier(tmp_path, defense="robust")
    tamper(folder, **{"attack__pgd__0.05__correct": flipped(False)})
    broken = [one for one in invariants.check([folder]) if not one.holds]
    assert {one.epsilon for one in broken} == {0.05}


def test_right_under_attack_but_wrong_without_is_found(tmp_path):
    folder = write_classifier(tmp_path)
    tamper(folder, **{"attack__pgd__0.01__correct": flipped(True)})
    assert "accuracy: attacked <= clean" in broken_names(folder)


def test_balls_of_different_units_are_not_compared(tmp_path):
    folder = write_posterior(tmp_path)

    def other_unit(meta):
        described = json.loads(str(meta))
        described["box"]["unit"] = "raw"
        return np.array(json.dumps(described))

    tamper(folder, meta=other_unit)
    names = {one.name for one in invariants.check([folder])}
    assert not [name for name in names if name.endswith("attacked <= certified")]


def test_fewer_points_than_noise_are_not_compared(tmp_path):
    folder = write_posterior(tmp_path)

    def fewer(meta):
        described = json.loads(str(meta))
        described["pgd"]["points"] = 4
        return np.array(json.dumps(described))

    tamper(folder, meta=fewer)
    assert not [one for one in invariants.check([folder]) if "noise <= attacked" in one.name]


def test_infinities_on_both_sides_are_equal(tmp_path):
    folder = write_posterior(tmp_path)
    keys = [f"attack__{name}__0.05__forward_kl" for name in ("noise", "pgd")]
    tamper(folder, **dict.fromkeys(keys, raised(2, np.inf)))
    assert broken_names(folder) == set()


def test_what_stands_beside_an_invariant(tmp_path):
    folder = write_posterior(tmp_path, defense="robust")
    found = [one for one in invariants.check([folder]) if "total variation" in one.name]
    one = next(one for one in found if one.epsilon == 0.05 and one.detail.startswith("pgd"))
    assert (one.scope, one.norm, one.unit) == (
        "shift/n1000/maf/robust/seed0",
        "linf",
        "feature_std",
    )
    assert one.coverage_clean == 0.9
    assert one.coverage_attacked is not None
    assert one.coverage_attacked < 0.9
    assert one.unknown_share == 0.0


def test_broken_reads_what_was_written(tmp_path):
    sound, unsound = write_posterior(tmp_path), write_posterior(tmp_path, seed=1)
    path = tmp_path / "invariants.json"
    invariants.write(invariants.check([sound, unsound]), path)
    assert invariants.broken(path) == []
    tamper(unsound, **{"attack__pgd__0.02__common_total_variation": raised(7, 2.0)})
    invariants.write(invariants.check([sound, unsound]), path)
    (line,) = invariants.broken(path)
    assert "shift/n1000/maf/none/seed1" in line
    assert "linf epsilon 0.02 (feature_std)" in line
    assert f"broken for 1 of {ITEMS} observations, first 7" in line
    json.loads(path.read_text(), parse_constant=pytest.fail)
