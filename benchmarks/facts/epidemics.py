"""Which variant of sir gives both published numbers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from certibayes.seeding import generator
from certibayes.tasks.lotka_volterra_ode import log_populations
from certibayes.tasks.sir import (
    END,
    INFECTED_0,
    NOISE_STD,
    OFFSET,
    POPULATION,
    PRIOR_STD,
    SUSCEPTIBLE_0,
    TIMES,
)
from facts import page
from facts.scales import PUBLISHED, distance, within

ROWS, GROUP, SIZES = 200_000, 1_000, (1_000, 2_000, 10_000)


class Epidemic(NamedTuple):
    """A variant of `sir`, by what differs from the description."""

    label: str
    susceptible: float = SUSCEPTIBLE_0
    infected: float = INFECTED_0
    population: float = POPULATION
    prior_std: float = PRIOR_STD
    points: int = TIMES


VARIANTS = (
    Epidemic("as described: S(0) = N = 5, I(0) = 0.25, prior standard deviation 2, 50 times"),
    Epidemic("S(0) = N - I(0) = 4.75", susceptible=POPULATION - INFECTED_0),
    Epidemic("prior standard deviation 1.75", prior_std=1.75),
    Epidemic("N = S(0) + I(0) = 5.25", population=POPULATION + INFECTED_0),
    Epidemic("I(0) = 0.2", infected=0.2),
    Epidemic("51 times", points=51),
)


def section(quick: bool) -> list[str]:
    """Hold variants of sir against both published numbers."""
    rows = page.fewer(ROWS, quick)
    lines = [_row(case, rows) for case in VARIANTS]
    sizes = tuple(f"chi², n = {n:,}" for n in SIZES)
    return [
        "### `sir`: which model gives the published pair of numbers?",
        f"{rows:,} draws of each variant. chi² (2 degrees of freedom) holds `within_std` "
        f"{PUBLISHED['sir'].within_std} and distance {PUBLISHED['sir'].distance} against their "
        "joint sampling distribution, if the published ones come from n draws; covariance from "
        f"groups of {_group(rows):,} draws, this table's own errors included. 5.99 is exceeded "
        "with probability 5 %.",
        page.table(("variant", "`within_std`", "median distance", *sizes), lines),
    ]


def _group(rows: int) -> int:
    return min(GROUP, rows // 10)


def _row(case: Epidemic, rows: int) -> tuple[str, ...]:
    page.progress(f"sir, {case.label}")
    x = _observed(case, rows)
    spread, far = within(x), distance(x)
    found = np.array([(within(part)[0], distance(part)[0]) for part in x.split(_group(rows))])
    covariance = np.cov(found.T) * _group(rows)
    gap = np.array([float(value) for value in PUBLISHED["sir"]]) - (spread[0], far[0])
    squares = [gap @ np.linalg.solve(covariance * (1 / n + 1 / rows), gap) for n in SIZES]
    numbers = tuple(f"{square:.1f}" for square in squares)
    return case.label, page.with_error(*spread), page.with_error(*far), *numbers


def _observed(case: Epidemic, rows: int) -> Tensor:
    draw = generator("simulator_facts", "sir", case.label)
    theta = case.prior_std * torch.randn(rows, 2, generator=draw, dtype=torch.float64)
    contact, recovery = theta.sigmoid().unbind(1)
    coupling = contact / case.population
    rates = torch.stack((torch.zeros_like(contact), coupling, recovery, coupling), 1)
    start = torch.tensor([[case.susceptible, case.infected]], dtype=torch.float64)
    times = torch.linspace(0, END, case.points, dtype=torch.float64)
    infected = log_populations(rates, start.expand(rows, 2), times)[:, 1].exp()
    noise = torch.randn(infected.shape, generator=draw, dtype=torch.float64)
    return (infected + OFFSET) * (NOISE_STD * noise).exp()
