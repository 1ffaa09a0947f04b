"""What a study may state about an attack, beyond types."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from certibayes.config.attacks import AnyAttack, Gloeckler2023L2PGD

BALL = {"norm": "l2", "unit": "raw", "epsilons": [0.1]}
ATTACK = {"kind": "pgd", "objective": "forward_kl", "perturbation": BALL}
REFUSED = [
    ({"mask": []}, r"got \[\]; allowed: a strictly increasing, filled list"),
    ({"mask": [2, 1]}, r"got \[2, 1\]; allowed: a strictly increasing"),
    ({"mask": [1, 1]}, r"got \[1, 1\]; allowed: a strictly increasing"),
    ({"mask": [-1]}, "greater than or equal to 0"),
    (
        {"objective": "mmd", "gradient_draws": 1},
        "gradient_draws: got 1; allowed for mmd: at",
    ),
    ({"objective": "mmd", "selection_draws": 1}, "selection_draws: got 1; allowed for mmd"),
    ({"kind": "random_search", "contraction": 1.0}, "greater than 1"),
    (
        {"kind": "gloeckler2023_l2pgd", "perturbation": {**BALL, "norm": "linf"}},
        "norm: got 'linf'; allowed: l2, as published",
    ),
    ({"kind": "gloeckler2023_l2pgd", "steps": 100}, "Extra inputs are not permitted"),
]


def attack(**values: object):
    return TypeAdapter(AnyAttack).validate_python({**ATTACK, **values})


@pytest.mark.parametrize(("values", "message"), REFUSED)
def test_refusals_name_the_value_and_what_is_allowed(values, message):
    with pytest.raises(ValidationError, match=message):
        attack(**values)


def test_masks_are_kept():
    assert attack(mask=[0, 3]).mask == (0, 3)
    assert attack().mask is None


def test_one_draw_is_enough_for_a_kl_divergence():
    assert attack(gradient_draws=1, selection_draws=1).gradient_draws == 1


def test_the_published_attack_has_the_published_settings():
    spec = attack(kind="gloeckler2023_l2pgd")
    assert isinstance(spec, Gloeckler2023L2PGD)
    assert (spec.STEPS, spec.STEP_SIZE, spec.GRADIENT_DRAWS) == (200, 0.1, 5)
