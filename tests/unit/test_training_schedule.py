"""Learning rates by closed form."""

import math

import pytest

from certibayes.config.models import Training
from certibayes.training_schedule import Schedule


def rates(steps, **fields):
    schedule = Schedule(Training(learning_rate=0.1, **fields), steps)
    return [schedule.rate(step) for step in range(steps)]


def test_cosine_is_the_default_and_decays_to_zero():
    expected = [0.1 * 0.5 * (1 + math.cos(math.pi * step / 7)) for step in range(7)]
    assert rates(7) == expected
    assert Schedule(Training(), 7).rate(7) == pytest.approx(0.0, abs=1e-15)


def test_constant_stays():
    assert rates(5, schedule="constant") == [0.1] * 5


def test_warm_up_grows_linearly_and_then_lets_go():
    warm = rates(6, schedule="constant", warmup_steps=4)
    assert warm == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])
    assert rates(8, warmup_steps=3)[3:] == rates(8)[3:]


def test_a_plateau_halves_once_per_wait_and_an_improvement_starts_the_count_anew():
    schedule = Schedule(Training(learning_rate=0.1, schedule="plateau", plateau_epochs=2), 100)
    found = []
    for objective in (1.0, 1.0, 2.0, 1.5, 2.0, 1.0, math.nan, 3.0, 3.0, 3.0):
        schedule.observe(objective)
        found.append(schedule.rate(0))
    assert found == [0.1] * 4 + [0.05] * 2 + [0.025] * 3 + [0.0125]
    assert schedule.needs_validation


def test_a_state_carries_the_count():
    spec = Training(schedule="plateau", plateau_epochs=3)
    first, second = Schedule(spec, 10), Schedule(spec, 10)
    for objective in (1.0, 0.5, 0.5, 0.5, 0.2):
        first.observe(objective)
    second.restore(first.state())
    for schedule in (first, second):
        schedule.observe(0.1)
        schedule.observe(0.1)
    assert first.state() == second.state()
    assert first.rate(3) == second.rate(3) == pytest.approx(1e-3 / 4)
    assert not Schedule(Training(), 10).needs_validation
