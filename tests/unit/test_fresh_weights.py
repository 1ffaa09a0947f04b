"""Which models certificates of the whole posterior of the weights may speak of."""

import pytest

from certibayes.config import Study
from certibayes.config.checks import findings

BALL = {"norm": "linf", "unit": "raw", "epsilons": [0.1]}


def study(kind, members=1, certificate="posterior_decision"):
    inference = {"kind": kind}
    return Study.model_validate(
        {
            "study": "s",
            "models": {
                "m": {"network": {"kind": "mlp"}, "inference": inference, "members": members}
            },
            "certificates": {"c": {"kind": certificate, "perturbation": BALL}},
            "experiments": [
                {"task": "digits", "budget": 1000, "model": "m", "certificates": ["c"]}
            ],
        }
    )


@pytest.mark.parametrize("kind", ["bbb", "vogn", "noisy_adam", "swag", "mc_dropout"])
def test_posteriors_that_draw_afresh_are_certified(kind):
    assert findings(study(kind)) == []


@pytest.mark.parametrize(("kind", "members"), [("map", 1), ("ensemble", 1), ("bbb", 2)])
def test_finite_ensembles_are_left_to_the_decision(kind, members):
    (found,) = findings(study(kind, members))
    assert found.startswith("experiments.0.certificates: got 'c' with")
    assert "allowed: members 1 and inference bbb, vogn" in found


@pytest.mark.parametrize("kind", ["bbb", "vogn", "noisy_adam"])
def test_boxes_of_weights_need_independent_gaussians(kind):
    assert findings(study(kind, certificate="probabilistic_safety")) == []


@pytest.mark.parametrize(
    ("kind", "members"), [("map", 1), ("swag", 1), ("mc_dropout", 1), ("bbb", 2)]
)
def test_other_posteriors_have_no_boxes_of_weights(kind, members):
    (found,) = findings(study(kind, members, "probabilistic_safety"))
    assert found.startswith("experiments.0.certificates: got 'c' with")
    assert found.endswith("allowed: members 1 and inference bbb, vogn, noisy_adam")
