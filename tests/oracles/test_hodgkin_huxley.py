"""Hodgkin-Huxley task against scipy's solver, its steady states and the noise it states."""

import math

import numpy as np
import pytest
import torch
from hodgkin_huxley_reference import AREA, TIMES, rates, slow, solve, spike_count, steady
from scipy.stats import norm

from certibayes.config.tasks import HodgkinHuxley as HodgkinHuxleySpec
from certibayes.tasks import hodgkin_huxley_ode as ode
from certibayes.tasks.hodgkin_huxley import HodgkinHuxley
from certibayes.threat import Scale

VARIANTS = ("divides", "multiplies")


def make(capacitance="divides"):
    return HodgkinHuxley(HodgkinHuxleySpec(capacitance=capacitance))


@pytest.fixture(scope="module")
def task():
    return make()


def generator(seed):
    return torch.Generator().manual_seed(seed)


def check_against_scipy(draws, capacitance):
    """Within 1e-4 of the range, per component, on 99 %; spike counts equal on 99 %."""
    task = make(capacitance)
    theta = task.sample_prior(draws, generator(0))
    found = [solve(row, capacitance == "multiplies") for row in theta.numpy()]
    failures = sum(one is None for one in found)
    assert failures <= 0.01 * draws, f"the reference failed on {failures} of {draws} draws"
    kept = [i for i, one in enumerate(found) if one is not None]
    reference = np.stack([found[i] for i in kept])
    solved = task.states(theta)[kept].numpy()
    error = np.abs(solved - reference).max(2) / np.ptp(reference, axis=2)
    assert (error < 1e-4).all(1).mean() >= 0.99
    assert np.median(error.max(1)) < 1e-6
    assert (spike_count(solved[:, 0]) == spike_count(reference[:, 0])).mean() >= 0.99
    return solved[:, 0]


def test_solver_agrees_with_scipy_on_prior_draws():
    check_against_scipy(40, "divides")


def test_solver_agrees_with_scipy_on_the_published_variant():
    check_against_scipy(10, "multiplies")


@pytest.mark.slow
@pytest.mark.parametrize("capacitance", VARIANTS)
def test_solver_agrees_with_scipy_on_200_prior_draws(capacitance):
    voltages = check_against_scipy(200, capacitance)
    assert len(set(spike_count(voltages).tolist())) >= 4


def test_solution_does_not_depend_on_the_tolerance(task):
    """On 200 draws at a tolerance 1,000 times smaller: the solver against itself."""
    theta = task.sample_prior(200, generator(1))
    states = task.states(theta).numpy()
    g_na, g_k, g_m, capacitance, e_leak, e_na, e_k = theta.numpy().T
    leak, threshold, tau_max = (np.full(200, value) for value in (0.1, -60.0, 600.0))
    columns = (g_na, g_k, g_m, leak, e_na, e_k, e_leak, threshold, tau_max, 1 / capacitance)
    edges, currents = np.array([0.0, 10, 50, 60]), np.array([0, 5e-4 / AREA, 0])
    finer = ode.solve(
        np.stack(columns, 1), -70.0, edges, currents, TIMES, tolerance=ode.TOLERANCE / 1_000
    )
    error = np.abs(states - finer).max(2) / np.ptp(finer, axis=2)
    assert error.max() < 1e-4
    assert np.median(error) < 1e-6


@pytest.mark.parametrize("v", [-120.0, -70.0, -47.0, -20.0, 5.0, 60.0])
def test_rates_agree_with_the_printed_formulas(v):
    """Also at the removable singularities: V_T + 13, + 15 and + 40 mV."""
    np.testing.assert_allclose(ode.fast_rates(v + 60), np.ravel(rates(v)), rtol=1e-9)
    p_inf, speed = ode.slow_gate(v)
    np.testing.assert_allclose((p_inf, 600 / speed), slow(v), rtol=1e-12)


@pytest.mark.parametrize("u", [13.0, 15.0, 40.0])
def test_rates_are_continuous_at_the_removable_singularities(u):
    around = np.array([ode.fast_rates(u + d) for d in (-1e-6, 0.0, 1e-6)])
    np.testing.assert_allclose(around[0], around[2], rtol=1e-5)
    np.testing.assert_allclose(around[1], around[0], rtol=1e-5)


def test_gates_start_in_their_steady_states(task):
    states = task.states(task.sample_prior(3, generator(2)))[:, :, 0]
    np.testing.assert_allclose(states, np.tile(steady(-70.0), (3, 1)), rtol=1e-12)


def test_a_passive_cell_relaxes_to_its_leak():
    """With time constant C / g_leak."""
    cell = np.array([[0, 0, 0, 0.1, 50, -90, -65, -60, 600, 0.5]])
    times = np.linspace(0, 60, 61)
    paths = ode.solve(cell, -70.0, np.array([0.0, 60.0]), np.zeros(1), times)
    np.testing.assert_allclose(paths[0, 0], -65 - 5 * np.exp(-0.05 * times), rtol=1e-7)


def test_steady_state_of_an_active_cell():
    """After 2 s without current, the slope of every state is zero."""
    cell = np.array([[50, 5, 0.07, 0.1, 53, -107, -70, -60, 600, 1.0]])
    edges = np.array([0.0, 20_000.0])
    v, m, h, n, p = ode.solve(cell, -70.0, edges, np.zeros(1), edges)[0, :, 1]
    np.testing.assert_allclose([v, m, h, n, p], steady(v), rtol=1e-5)
    flow = 50 * m**3 * h * (53 - v) + (5 * n**4 + 0.07 * p) * (-107 - v) + 0.1 * (-70 - v)
    assert abs(flow) < 1e-5


def test_the_published_variant_is_the_reciprocal_capacitance():
    theta = make().sample_prior(20, generator(3))
    theta[:, 3] = 1.0
    divides, multiplies = (make(name).voltages(theta) for name in VARIANTS)
    torch.testing.assert_close(divides, multiplies, rtol=0, atol=0)
    theta[:, 3], inverse = 1.2, theta.clone()
    inverse[:, 3] = 1 / 1.2
    torch.testing.assert_close(make("multiplies").voltages(theta), make().voltages(inverse))
    assert (make().voltages(theta) - make("multiplies").voltages(theta)).abs().amax(1).min() > 1


def test_rows_do_not_depend_on_their_neighbors(task):
    theta = task.sample_prior(12, generator(4))
    together = task.states(theta)
    alone = torch.cat([task.states(row[None]) for row in theta])
    assert torch.equal(together, alone)


def test_noise_is_normal_around_the_solution(task):
    n = 4_000
    one = task.sample_prior(1, generator(5))
    theta = one.expand(200, -1)
    residual = torch.cat(
        [task.simulate(theta, generator(10 + i)) for i in range(n // 200)]
    ) - task.voltages(one)
    assert ((residual.mean(0) / 0.5).abs() < 5 / math.sqrt(n)).all()
    assert ((residual.std(0) / 0.5 - 1).abs() < 5 / math.sqrt(2 * n)).all()


def test_log_likelihood_agrees_with_scipy_and_broadcasts(task):
    theta = task.sample_prior(3, generator(6))
    x = task.simulate(theta[:1], generator(7))
    expected = [norm.logpdf(x[0], solve(z, rtol=1e-8)[0], 0.5).sum() for z in theta]
    np.testing.assert_allclose(task.log_likelihood(theta, x), expected, rtol=1e-4)
    broadcast = task.log_likelihood(theta, x.expand(3, -1))
    torch.testing.assert_close(broadcast, task.log_likelihood(theta, x))


@pytest.mark.parametrize("capacitance", VARIANTS)
def test_scale_agrees_with_the_published_study(capacitance):
    """The unit of epsilon, the mean std within an observation, is 18.4 mV there."""
    task = make(capacitance)
    x = task.simulate(task.sample_prior(3_000, generator(8)), generator(9))
    assert x.isfinite().all()
    assert Scale.of(x).within_std == pytest.approx(18.4, rel=0.03)


def test_a_solution_that_cannot_be_found_is_nan(task):
    theta = task.sample_prior(3, generator(10))
    theta[1, 0] = 1e300
    voltages = task.voltages(theta)
    assert voltages[1].isnan().all()
    assert voltages[[0, 2]].isfinite().all()
