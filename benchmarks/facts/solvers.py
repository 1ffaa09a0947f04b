"""Solvers of differential equations against scipy; references from tests/oracles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import hodgkin_huxley_reference
import numpy as np
import ode_references
import test_pyloric_network as network
from numpy.typing import NDArray

from certibayes.config.simulators.gloeckler2023 import HodgkinHuxley as HodgkinHuxleySpec
from certibayes.seeding import generator
from certibayes.tasks.hodgkin_huxley import HodgkinHuxley
from facts import page
from facts.scales import specs

DRAWS, WANTED = 200, 1e-4
NETWORK_DRAWS, HORIZONS, SUBSTEPS = 20, (20, 50, 100), (1, 2, 4, 8, 16)
ABOVE_ROUNDING = 1e-5
QUANTILES = ("median", "99 %", "largest", "below 1e-4")

Floats = NDArray[np.float64]


def section(tasks: Sequence[str], quick: bool) -> list[str]:
    """Hold every solver of ordinary differential equations against scipy's."""
    draws = page.fewer(DRAWS, quick)
    lines = [_ode_row(name, draws) for name in tasks if name in ode_references.CASES]
    neurons = [spec for spec in specs(tasks) if isinstance(spec, HodgkinHuxleySpec)]
    lines += [_neuron_row(spec, draws) for spec in neurons]
    text = (
        "Largest error over the observed times and the components, in units of the component's "
        "range on the same trajectory, against `scipy.integrate.solve_ivp`, method DOP853, rtol "
        "1e-10, atol 1e-12, without noise. Spikes: share of draws with the same number of spikes. "
        "Wanted: below 1e-4, and the same spikes, on at least 99 % of the draws. "
        "`hodgkin_huxley_allen` is stochastic and held against a slow version of itself "
        "(`tests/oracles/test_hodgkin_huxley_allen.py`)."
    )
    header = ("task", "draws", "scipy failed", *QUANTILES, "spikes")
    return ["## Solvers against scipy", text, page.table(header, lines)] if lines else []


def _ode_row(name: str, draws: int) -> tuple[str, ...]:
    page.progress(f"accuracy of {name}")
    task, case = ode_references.make(name), ode_references.CASES[name]
    theta = task.sample_prior(draws, generator("simulator_facts", "accuracy", name))
    exact = [ode_references.reference(case.problem(row)) for row in theta.numpy()]
    usable = [i for i, found in enumerate(exact) if found is not None]
    expected = np.stack([found[case.observed] for found in exact if found is not None])
    errors = _relative(case.solved(task, theta).numpy()[usable], expected)
    return f"`{name}`", f"{draws}", f"{draws - len(usable)}", *_quantiles(errors), ""


def _neuron_row(spec: HodgkinHuxleySpec, draws: int) -> tuple[str, ...]:
    label = page.label(spec)
    page.progress(f"accuracy of {label}")
    task, multiplies = HodgkinHuxley(spec), spec.capacitance == "multiplies"
    theta = task.sample_prior(draws, generator("simulator_facts", "accuracy", label))
    exact = [hodgkin_huxley_reference.solve(row, multiplies) for row in theta.numpy()]
    usable = [i for i, found in enumerate(exact) if found is not None]
    expected, solved = np.stack([exact[i] for i in usable]), task.states(theta).numpy()[usable]
    spikes = [hodgkin_huxley_reference.spike_count(each[:, 0]) for each in (expected, solved)]
    same = f"{100 * (spikes[0] == spikes[1]).mean():.1f} %"
    numbers = _quantiles(_relative(solved, expected))
    return label, f"{draws}", f"{draws - len(usable)}", *numbers, same


def _relative(solved: Floats, expected: Floats) -> Floats:
    return (np.abs(solved - expected).max(2) / np.ptp(expected, axis=2)).max(1)


def _quantiles(errors: Floats) -> tuple[str, ...]:
    numbers = (np.median(errors), np.quantile(errors, 0.99), errors.max())
    share = f"{100 * (errors < WANTED).mean():.1f} %"
    return *(f"{number:.1e}" for number in numbers), share


def network_section(quick: bool) -> list[str]:
    """Hold the pyloric network without noise against scipy, by substeps and horizon."""
    draws = 2 if quick else NETWORK_DRAWS
    horizons = HORIZONS[:1] if quick else HORIZONS
    errors = np.array(list(_network_errors(draws, horizons)))
    lines = [
        (f"{horizon}", f"{substeps}", *_quantiles(errors[:, i, j]), _order(errors[:, i, j:]))
        for i, horizon in enumerate(horizons)
        for j, substeps in enumerate(SUBSTEPS)
    ]
    return [
        "### The pyloric network without its noise, by step and horizon",
        f"{draws} draws, voltages at every millisecond, LSODA with rtol = atol = 1e-10. The order "
        "is the median over draws of log2 of the error over that at twice the substeps, of those "
        f"draws where the latter is above {ABOVE_ROUNDING:g}: below, the interpolation of the "
        "gates' tables and the reference's own error show.",
        page.table(("ms", "`substeps`", *QUANTILES, "order (draws)"), lines),
    ]


def _network_errors(draws: int, horizons: Sequence[int]) -> Iterator[list[list[float]]]:
    times = np.arange(1.0, horizons[-1] + 1)
    for draw, theta in enumerate(network.prior_draws(draws, seed=7)):
        page.progress(f"pyloric network, draw {draw + 1} of {draws}")
        exact = network.reference(theta, times)
        solved = [network.quiet(theta, horizons[-1], substeps) for substeps in SUBSTEPS]
        yield [
            [network.largest_error(each[:horizon], exact[:horizon]) for each in solved]
            for horizon in horizons
        ]


def _order(errors: Floats) -> str:
    """Compare the first two columns of errors by substeps, shape (draws, substeps left)."""
    if errors.shape[1] < 2:
        return ""
    coarse, fine = errors[:, 0], errors[:, 1]
    above = fine > ABOVE_ROUNDING
    if not above.any():
        return ""
    return f"{np.median(np.log2(coarse[above] / fine[above])):.2f} ({above.sum()})"
