"""Solutions of the tasks' differential equations by scipy: for accuracy tests and benchmarks."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.integrate import solve_ivp

from certibayes import registry
from certibayes.config.tasks import BUILT_IN
from certibayes.tasks.base import PosteriorTask

Slope = Callable[[float, np.ndarray], list[float]]


class Problem(NamedTuple):
    """One initial value problem.

    Attributes:
        slope: right-hand side.
        start: state at the first time.
        times: when the state is wanted.
    """

    slope: Slope
    start: list[float]
    times: np.ndarray


class Case(NamedTuple):
    """How a task's noiseless solution compares with scipy's.

    Attributes:
        problem: from theta, shape (theta_dim,), to its initial value problem.
        observed: states of the problem that the task solves for.
        solved: the task's noiseless solution, shape (n, states, times).
    """

    problem: Callable[[np.ndarray], Problem]
    observed: slice
    solved: Callable[[PosteriorTask, torch.Tensor], torch.Tensor]


def make(name: str) -> PosteriorTask:
    return registry.load("task", name)(BUILT_IN[name]())


def reference(
    problem: Problem, method: str = "DOP853", rtol: float = 1e-10, atol: float = 1e-12
) -> np.ndarray | None:
    """Solve in double precision, shape (states, times); None where scipy fails."""
    span = (problem.times[0], problem.times[-1])
    solution = solve_ivp(
        problem.slope,
        span,
        problem.start,
        method,
        t_eval=problem.times,
        rtol=rtol,
        atol=atol,
    )
    return solution.y if solution.success else None


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def predators(rates: np.ndarray, start: list[float], times: np.ndarray) -> Problem:
    alpha, beta, gamma, delta = rates

    def slope(_: float, z: np.ndarray) -> list[float]:
        return [alpha * z[0] - beta * z[0] * z[1], delta * z[0] * z[1] - gamma * z[1]]

    return Problem(slope, start, times)


def lotka_volterra(theta: np.ndarray) -> Problem:
    rates = np.array([math.exp(sigmoid(z)) for z in theta])
    return predators(rates, [1.0, 1.0], np.linspace(0, 20, 50))


def lynx_hare(theta: np.ndarray) -> Problem:
    """In log space: troughs of exp(-40) have no digits in linear space."""
    alpha, beta, gamma, delta = theta[:4]

    def slope(_: float, z: np.ndarray) -> list[float]:
        return [alpha - beta * math.exp(z[1]), -gamma + delta * math.exp(z[0])]

    return Problem(slope, np.log(theta[4:6]).tolist(), np.arange(21.0))


def epidemic(
    contact: float, recovery: float, population: float, start: list[float], times: np.ndarray
) -> Problem:
    """Susceptible, infected and recovered."""

    def slope(_: float, z: np.ndarray) -> list[float]:
        infection = contact * z[0] * z[1] / population
        return [-infection, infection - recovery * z[1], recovery * z[1]]

    return Problem(slope, start, times)


def sir(theta: np.ndarray) -> Problem:
    return epidemic(
        sigmoid(theta[0]), sigmoid(theta[1]), 5.0, [5.0, 0.25, 0.0], np.linspace(0, 50, 50)
    )


def lotka_volterra_sbibm(theta: np.ndarray) -> Problem:
    return predators(theta, [30.0, 1.0], np.arange(0, 20, 2.1))


def sir_sbibm(theta: np.ndarray) -> Problem:
    """In shares of the population."""
    return epidemic(theta[0], theta[1], 1.0, [1 - 1e-6, 1e-6, 0.0], np.arange(0, 160, 17.0))


CASES = {
    "lotka_volterra": Case(
        lotka_volterra, slice(2), lambda task, theta: task.populations(theta).view(-1, 2, 50)
    ),
    "sir": Case(sir, slice(1, 2), lambda task, theta: task.infected(theta)[:, None]),
    "lynx_hare": Case(
        lynx_hare, slice(2), lambda task, theta: task.log_counts(theta).view(-1, 2, 21)
    ),
    "lotka_volterra_sbibm": Case(
        lotka_volterra_sbibm,
        slice(2),
        lambda task, theta: task.log_populations(theta).exp().view(-1, 2, 10),
    ),
    "sir_sbibm": Case(
        sir_sbibm, slice(1, 2), lambda task, theta: task.log_share(theta).exp()[:, None]
    ),
}
