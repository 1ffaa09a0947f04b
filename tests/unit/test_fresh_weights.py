"""Which models a certificate of the true predictive may speak of."""

import pytest

from certibayes.config import Study
from certibayes.config.checks import findings

BALL = {"norm": "linf", "unit": "raw", "epsilons": [0.1]}


def study(kind, members=1):
    inference = {"kind": kind}
    return Study.model_validate(
        {
            "study": "s",
            "models": {
                "m": {"network": {"kind": "mlp"}, "inference": inference, "members": members}
            },
            "certificates": {"c": {"kind": "posterior_decision", "perturbation": BALL}},
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
