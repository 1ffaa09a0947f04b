import pytest
from pydantic import ValidationError

from certibayes.config.simulators.own import OwnPairs, OwnSimulator
from certibayes.config.simulators.recordings import PyloricTraces
from certibayes.config.simulators.sbibm import TwoMoons
from certibayes.config.task_spec import Failures


def test_a_stated_key_leaves_the_other_defaults_of_the_task():
    given = OwnSimulator.model_validate({"file": "m.py", "failures": {"at_most": 0.5}})
    assert given.failures == Failures(at_most=0.5, time_limit=60.0)
    assert OwnSimulator(file="m.py").failures.time_limit == 60
    none = OwnSimulator.model_validate({"file": "m.py", "failures": {"time_limit": None}})
    assert none.failures.time_limit is None
    assert OwnSimulator.model_validate_json(none.model_dump_json()) == none
    assert TwoMoons.model_validate({"failures": {"at_most": 0.5}}).failures.time_limit is None
    assert OwnPairs(folder="pairs").failures == Failures()


def test_the_published_selection_keeps_its_share_beside_other_keys():
    values = {"published_selection": True, "failures": {"time_limit": 30.0}}
    assert PyloricTraces.model_validate(values).failures == Failures(at_most=1.0, time_limit=30.0)
    values["failures"]["at_most"] = 0.99
    assert PyloricTraces.model_validate(values).failures.at_most == 0.99
    with pytest.raises(ValidationError, match="valid boolean"):
        PyloricTraces(published_selection="yes")


@pytest.mark.parametrize("fill", [float("nan"), float("inf"), -float("inf"), 1e300, -3.5e38])
def test_a_fill_must_be_finite_as_float32(fill):
    with pytest.raises(ValidationError, match=r"fill: got .*; allowed: a number that is finite as"):
        Failures(policy="impute", fill=fill)


@pytest.mark.parametrize("fill", [0.0, -5.0, 3.4e38, 7])
def test_a_fill_that_float32_holds_is_taken(fill):
    assert Failures(policy="impute", fill=fill).fill == fill
