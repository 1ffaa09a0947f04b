"""Rows of one call of a simulator are independent and distributed as in calls of their own."""

import math

import pytest
import torch
from simulator_weights import restore

from certibayes import registry
from certibayes.config.tasks import BUILT_IN
from certibayes.tasks.base import PosteriorTask, Restorable

CALLS = 120
# A minute of computing for 480 runs of the network; it has tests of its own.
LONG = {"pyloric_traces", "pyloric_summary"}
NAMES = [n for n, spec in BUILT_IN.items() if spec.form == "posterior" and n not in LONG]


def make(name: str) -> PosteriorTask:
    task = registry.load("task", name)(BUILT_IN[name]())
    if isinstance(task, Restorable):
        restore(task)
    return task


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module", params=NAMES)
def draws(request) -> tuple[torch.Tensor, torch.Tensor]:
    """Simulations of one theta: calls of two rows, (CALLS, 2, x_dim), and one of 2 CALLS rows."""
    task = make(request.param)
    theta = task.sample_prior(1, generator(0))
    pairs = torch.stack(
        [task.simulate(theta.expand(2, -1), generator(100 + i)) for i in range(CALLS)]
    )
    return pairs, task.simulate(theta.expand(2 * CALLS, -1), generator(1))


def test_means_and_variances_do_not_depend_on_the_size_of_a_call(
    draws: tuple[torch.Tensor, torch.Tensor],
) -> None:
    pairs, batch = draws[0].flatten(0, 1), draws[1]
    assert pairs.isfinite().all()
    assert batch.isfinite().all()
    for power in (1, 2):
        center = torch.cat((pairs, batch)).mean(0) if power == 2 else torch.zeros(1)
        one, other = ((x - center) ** power for x in (pairs, batch))
        error = ((one.var(0) + other.var(0)) / len(one)).sqrt()
        gap = (one.mean(0) - other.mean(0)).abs()
        assert (gap <= 6 * error + 1e-12 * one.abs().amax(0)).all()


def test_rows_of_one_call_are_independent(draws: tuple[torch.Tensor, torch.Tensor]) -> None:
    """The product of two rows' residuals, averaged over features, is 0 on average over calls."""
    pairs = draws[0]
    residual = pairs - pairs.mean((0, 1))
    spread = pairs.flatten(0, 1).std(0)
    noisy = spread > 1e-9 * spread.max()
    product = (residual[:, 0] * residual[:, 1] / spread**2)[:, noisy].mean(1)
    bias = 1 / (2 * CALLS)
    assert abs(float(product.mean()) + bias) < 5 * float(product.std()) / math.sqrt(CALLS)
