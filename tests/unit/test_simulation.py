import logging
import pickle
import random

import failing_tasks as tasks
import numpy as np
import pytest
import torch
from failing_tasks import BAD, SECOND_BAD, spec

from certibayes import registry
from certibayes.config.tasks import BUILT_IN
from certibayes.seeding import derive_seed
from certibayes.simulation import progress as progress_module
from certibayes.simulation.call import FailedCall
from certibayes.simulation.error import SimulationError
from certibayes.simulation.first_exception import FirstException
from certibayes.simulation.progress import Progress
from certibayes.simulation.rows import simulate_rows
from certibayes.simulation.tally import REASONS

ROWS = 40
SEEDS = (3, "mine", "shard", 2)
AFFECTED = [*range(10), *range(10, 20)]
UNAFFECTED = [row for row in range(ROWS) if row not in AFFECTED]
IN_PROCESS = {
    tasks.Broken: ("nan", "1 of 3 values"),
    tasks.Overflowing: ("infinite", "1 of 3 values"),
    tasks.Raising: ("exception", "ValueError: negative rate"),
    tasks.Exiting: ("exception", "SystemExit: 3"),
    tasks.Misshapen: ("wrong_shape", "got torch.float64 (1, 2); allowed: floating point (1, 3)"),
    tasks.Whole: ("wrong_shape", "got torch.int64 (1, 3); allowed: floating point (1, 3)"),
    tasks.Listed: ("wrong_shape", "got list; allowed: floating point (1, 3)"),
}


def simulate(kind, rows=ROWS, label="shard 2 of mine", explain=None, **failures):
    task = kind(spec(**failures))
    theta = task.sample_prior(rows, torch.Generator())
    return simulate_task(task, theta, Progress(label, rows, lambda: None), explain)


def simulate_task(task, theta, progress, explain=None):
    explain = explain or FirstException()
    return simulate_rows(task, theta, "mine", SEEDS, task.spec.failures, progress, explain)


SOUND = simulate(tasks.Sound)


def test_each_call_has_a_seed_of_its_own_from_its_first_row():
    assert SOUND.valid.all()
    assert SOUND.tally.failed == 0
    for first in range(0, ROWS, 10):
        source = torch.Generator().manual_seed(derive_seed(*SEEDS, first))
        expected = torch.rand(10, 3, generator=source, dtype=torch.float64)[:, 1:]
        assert torch.equal(SOUND.x[first : first + 10, 1:], expected)
    assert torch.equal(simulate(tasks.Sound, rows=25).x[:20], SOUND.x[:20])


@pytest.mark.parametrize(("kind", "expected"), IN_PROCESS.items())
def test_a_failing_row_is_dropped_counted_and_explained(kind, expected):
    found = simulate(kind)
    reason, detail = expected
    assert (~found.valid).nonzero().flatten().tolist() == [BAD, SECOND_BAD]
    assert found.x[~found.valid].isnan().all()
    assert found.x[found.valid].isfinite().all()
    assert found.x[found.valid, 0].tolist() == [r for r in range(ROWS) if r not in (7, 13)]
    assert found.tally.counts == dict.fromkeys(REASONS, 0) | {reason: 2}
    first, second = found.tally.examples
    assert (first.row, first.reason, first.detail) == (BAD, reason, detail)
    assert first.theta == {"a": 7.0, "b": 3.5}
    assert second.row == SECOND_BAD
    assert found.tally.to_json()["examples"][0]["theta"] == {"a": 7.0, "b": 3.5}


@pytest.mark.parametrize("kind", IN_PROCESS)
def test_rows_of_other_calls_are_bit_identical_whatever_fails(kind):
    assert torch.equal(simulate(kind).x[UNAFFECTED], SOUND.x[UNAFFECTED])


def test_imputation_writes_the_fill_and_still_counts():
    found = simulate(tasks.Broken, policy="impute", fill=-5.0)
    assert found.valid.all()
    assert found.tally.failed == 2
    assert found.x[BAD, 1] == -5
    assert torch.equal(found.x[BAD, [0, 2]], SOUND.x[BAD, [0, 2]])
    whole = simulate(tasks.Raising, policy="impute", fill=-5.0)
    assert (whole.x[BAD] == -5).all()
    assert (simulate(tasks.Overflowing, policy="impute", fill=0.5).x.abs() < 1e38).all()


def test_policy_error_stops_at_the_first_failure():
    with pytest.raises(SimulationError) as caught:
        simulate(tasks.Raising, policy="error")
    assert str(caught.value).splitlines() == [
        "shard 2 of mine: 1 of 8 simulations failed (1 exception)",
        "allowed to fail: none (tasks.mine.failures.policy = error)",
        "  row 7, exception (ValueError: negative rate): a = 7, b = 3.5",
    ]


def test_more_failures_than_the_stated_share_stop_with_three_thetas():
    with pytest.raises(SimulationError) as caught:
        simulate(tasks.AlwaysRaising, rows=100, at_most=0.05)
    assert str(caught.value).splitlines() == [
        "shard 2 of mine: 6 of 6 simulations failed (6 exception)",
        "allowed to fail: 5 of 100 (tasks.mine.failures.at_most = 0.05)",
        "  row 0, exception (RuntimeError: 1 rows): a = 0, b = 0",
        "  row 1, exception (RuntimeError: 1 rows): a = 1, b = 0.5",
        "  row 2, exception (RuntimeError: 1 rows): a = 2, b = 1",
    ]


def test_two_failures_above_a_tiny_share_stop_at_the_end_of_the_shard_at_the_latest():
    with pytest.raises(SimulationError, match=r"2 of 40 simulations failed \(2 nan\)") as caught:
        simulate(tasks.Broken, at_most=0.01)
    assert "row 13, nan" in str(caught.value)


def test_a_share_that_is_just_met_is_allowed():
    assert simulate(tasks.Broken, at_most=0.05).tally.failed == 2


def test_a_random_failure_of_a_batch_is_counted_at_its_rate_per_row():
    tally = simulate(tasks.RaisingAtRandom, rows=2_000, at_most=0.5).tally
    assert 15 <= tally.failed <= 50
    assert tally.counts["exception"] == tally.failed


def test_a_failed_call_is_repeated_once_per_row_with_seeds_of_their_own():
    found = simulate(tasks.Raising)
    for row in (0, BAD + 1, SECOND_BAD + 1):
        source = torch.Generator().manual_seed(derive_seed(*SEEDS, row, "alone"))
        expected = torch.rand(1, 3, generator=source, dtype=torch.float64)[0, 1:]
        assert torch.equal(found.x[row, 1:], expected)


def test_a_simulator_that_always_fails_is_not_called_for_every_row():
    tasks.AlwaysRaising.calls = 0
    with pytest.raises(SimulationError, match="allowed to fail: 100 of 10000"):
        simulate(tasks.AlwaysRaising, rows=10_000, at_most=0.01)
    assert tasks.AlwaysRaising.calls < 300


def test_global_random_states_are_seeded_and_put_back_and_theta_is_protected():
    np.random.seed(1)
    random.seed(1)
    torch.manual_seed(1)
    before = (np.random.random(), random.random(), torch.rand(1).item())
    np.random.seed(1)
    random.seed(1)
    torch.manual_seed(1)
    first = simulate(tasks.Global)
    assert (np.random.random(), random.random(), torch.rand(1).item()) == before
    assert torch.equal(simulate(tasks.Global).x, first.x)
    assert len(first.x.unique()) == first.x.numel()
    task = tasks.Global(spec())
    theta = task.sample_prior(10, torch.Generator())
    simulate_task(task, theta, Progress("", 10))
    assert theta[3, 0] == 3


def test_the_traceback_is_logged_once_per_job_and_not_for_wrong_shapes(caplog):
    explain = FirstException()
    with caplog.at_level(logging.WARNING, "certibayes"):
        simulate(tasks.Misshapen, explain=explain)
        explain("mine", FailedCall("wrong_shape", "got (1, 2)", "Traceback ..."))
        simulate(tasks.Raising, explain=explain)
        simulate(tasks.Raising, label="units of mine", explain=explain)
    (record,) = caplog.records
    assert "shard 2 of mine: first exception" in record.message
    assert 'raise ValueError("negative\\nrate")' in record.message


def test_progress_lines_come_every_ten_seconds_with_rate_failures_and_time_left(caplog):
    now = [0.0]
    progress = Progress("shard 2 of mine", 1000, clock=lambda: now[0])
    with caplog.at_level(logging.INFO, "certibayes"):
        for second in range(1, 26):
            now[0] = float(second)
            progress.update(20 * second, second // 10)
    assert [record.message for record in caplog.records] == [
        "shard 2 of mine: 200 of 1000 rows, 20 rows/s, 1 failed, 40 s left",
        "shard 2 of mine: 400 of 1000 rows, 20 rows/s, 2 failed, 30 s left",
    ]


def test_progress_is_spoken_while_simulations_run(caplog, monkeypatch):
    monkeypatch.setattr(progress_module, "SECONDS_BETWEEN_LINES", 0.0)
    with caplog.at_level(logging.INFO, "certibayes"):
        simulate(tasks.Broken)
    lines = [record.message for record in caplog.records]
    assert len(lines) == 4
    assert "20 of 40 rows" in lines[1]
    assert "2 failed" in lines[1]


def test_a_stop_that_is_asked_for_ends_the_simulations():
    task = tasks.Sound(spec())
    theta = task.sample_prior(ROWS, torch.Generator())
    asked = []

    def stop():
        asked.append(None)
        if len(asked) == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        simulate_task(task, theta, Progress("", ROWS, stop))


@pytest.mark.parametrize("name", registry.names("task"))
def test_every_built_in_simulator_can_be_sent_to_a_worker(name):
    if name not in BUILT_IN:
        pytest.skip("a user's own needs a file")
    task = registry.load("task", name)(BUILT_IN[name]())
    sent = pickle.dumps(task)
    assert pickle.loads(sent).spec == task.spec  # noqa: S301
