"""Write docs/simulator_speed.md: simulations per second of every task, beside scipy.

PYTHONPATH=tests/oracles .venv/bin/python benchmarks/simulators.py [--tasks sir ...] [--full]

The right-hand sides that scipy gets are those of the accuracy tests, in tests/oracles.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import hodgkin_huxley_reference
import torch
from ode_references import CASES, reference

from certibayes import registry
from certibayes.config.tasks import BUILT_IN
from certibayes.io import save_weights
from certibayes.networks.autoencoder import build_decoder
from certibayes.seeding import derive_seed
from certibayes.tasks.base import PosteriorTask, Restorable
from certibayes.tasks.vae import LATENTS, PIXELS

PAGE = Path("docs/simulator_speed.md")
REPEATS = 3
PROCESSES = 2
TOLERANCE = 1e-8
METHODS = ("RK45", "DOP853", "LSODA")
WANTED_RATIO = 50
VERSIONS = ("torch", "numpy", "numba", "scipy")


class Budget(NamedTuple):
    """So many simulations of a task within so many seconds, and how many a short run makes."""

    task: str
    runs: int
    seconds: float
    sample: int


BUDGETS = (
    Budget("lotka_volterra", 100_000, 60.0, 100_000),
    Budget("hodgkin_huxley", 100_000, 600.0, 10_000),
    Budget("pyloric_traces", 1_000, 300.0, 1_000),
)


def main() -> None:
    """Measure and write the page."""
    options = _options()
    torch.set_num_threads(1)
    rows = []
    for name in options.tasks:
        print(name, file=sys.stderr, flush=True)
        rate = simulations_per_second(name, options.seconds)
        rows.append((name, rate, scipy_rates(name, options.seconds)))
    budgets = [budget for budget in BUDGETS if budget.task in options.tasks]
    parts = [
        "# Speed of the simulators",
        _conditions(options),
        _table(rows),
        "## Budgets, with two processes",
        "One process per core, one thread each, as the workflow runs shards.",
        _budget_table(budgets, options.full),
    ]
    options.output.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    simulators = [name for name, spec in BUILT_IN.items() if spec.form == "posterior"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=simulators, default=simulators)
    parser.add_argument("--seconds", type=float, default=1.0, help="about one measurement's length")
    parser.add_argument("--full", action="store_true", help="run whole budgets, no extrapolation")
    parser.add_argument("--output", type=Path, default=PAGE)
    return parser.parse_args()


def make(name: str) -> PosteriorTask:
    """Return a task; a simulator that needs trained weights gets random ones, equally fast."""
    task = registry.load("task", name)(BUILT_IN[name]())
    if isinstance(task, Restorable):
        with tempfile.TemporaryDirectory() as folder:
            save_weights(Path(folder), build_decoder(LATENTS, PIXELS).state_dict(), {})
            task.restore(Path(folder))
    return task


def simulate(task: PosteriorTask, rows: int, seed: int) -> float:
    """Draw theta, simulate in calls as long as the workflow's and return the seconds of both."""
    generator = torch.Generator().manual_seed(seed)
    begin = time.perf_counter()
    theta = task.sample_prior(rows, generator)
    for chunk in theta.split(task.rows_per_call):
        task.simulate(chunk, generator)
    return time.perf_counter() - begin


def simulations_per_second(name: str, seconds: float) -> float:
    """Return the best of three rates of one process, each over about so many seconds."""
    task = make(name)
    return _best_rate(lambda rows, seed: simulate(task, rows, seed), seconds)


def scipy_rates(name: str, seconds: float) -> dict[str, float]:
    """Return trajectories per second of each method of scipy, or nothing for other tasks."""
    if name == "hodgkin_huxley":
        return {"DOP853": _scipy_rate(name, "DOP853", seconds)}
    return {method: _scipy_rate(name, method, seconds) for method in METHODS if name in CASES}


def _scipy_rate(name: str, method: str, seconds: float) -> float:
    task = make(name)

    def solve(rows: int, seed: int) -> float:
        theta = task.sample_prior(rows, torch.Generator().manual_seed(seed)).numpy()
        begin = time.perf_counter()
        for row in theta:
            if name == "hodgkin_huxley":
                hodgkin_huxley_reference.solve(row, rtol=TOLERANCE)
            else:
                reference(CASES[name].problem(row), method, TOLERANCE, TOLERANCE)
        return time.perf_counter() - begin

    return _best_rate(solve, seconds)


def _best_rate(timed: Callable[[int, int], float], seconds: float) -> float:
    """Grow the number of rows until a run takes a quarter of the time wanted, then repeat."""
    timed(2, derive_seed("warm-up"))
    rows, taken = 2, timed(2, 0)
    while taken < seconds / 4:
        rows = max(2 * rows, min(16 * rows, int(0.6 * rows * seconds / max(taken, 1e-9))))
        taken = timed(rows, 0)
    return max(rows / timed(rows, seed) for seed in range(REPEATS))


def _share(arguments: tuple[str, int, int]) -> float:
    """Simulate one process's share and return its seconds."""
    name, rows, seed = arguments
    return simulate(make(name), rows, seed)


def _prepare(names: tuple[str, ...]) -> None:
    torch.set_num_threads(1)
    for name in names:
        simulate(make(name), 2, 0)


def _seconds_of(budget: Budget, rows: int) -> float:
    """Return the shortest of three times in which two processes simulate so many rows."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(PROCESSES, _prepare, ((budget.task,),)) as pool:
        pool.map(_share, [(budget.task, 2, seed) for seed in range(PROCESSES)], chunksize=1)
        taken = []
        for repeat in range(REPEATS):
            shares = [
                (budget.task, rows // PROCESSES, PROCESSES * repeat + seed)
                for seed in range(PROCESSES)
            ]
            begin = time.perf_counter()
            pool.map(_share, shares, chunksize=1)
            taken.append(time.perf_counter() - begin)
    return min(taken)


def _conditions(options: argparse.Namespace) -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS)
    return (
        f"Generated by `PYTHONPATH=tests/oracles python {' '.join(sys.argv)}` on "
        f"{time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores, {_processor()}, Python "
        f"{platform.python_version()}, {versions}. Each rate is the best of {REPEATS} runs of one "
        f"process with one thread, about {options.seconds:g} s each, on fresh prior draws, "
        "compilation not counted; drawing theta and the noise is. scipy: "
        f"`scipy.integrate.solve_ivp`, one trajectory at a time and without noise, at rtol = atol "
        f"= {TOLERANCE:g}, the tolerance of this package's solvers (`hodgkin_huxley`: rtol alone, "
        "with atol 1e-12); the ratio is to the fastest of its methods. `vae` has a decoder of "
        "random weights, which is as fast as a trained one."
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _table(rows: list[tuple[str, float, dict[str, float]]]) -> str:
    lines = [
        "| task | simulations per second | scipy, trajectories per second | ratio |",
        "| --- | ---: | --- | ---: |",
    ]
    for name, rate, scipy in rows:
        methods = ", ".join(f"{method} {_number(value)}" for method, value in scipy.items())
        ratio = f"{rate / max(scipy.values()):.0f}" if scipy else ""
        lines.append(f"| `{name}` | {_number(rate)} | {methods} | {ratio} |")
    ratios = [rate / max(scipy.values()) for _, rate, scipy in rows if scipy]
    verdict = ""
    if ratios:
        reached = "reached" if min(ratios) >= WANTED_RATIO else "NOT reached"
        verdict = f"\n\nWanted: at least {WANTED_RATIO} times scipy on every such task; {reached}."
    return "\n".join(lines) + verdict


def _budget_table(budgets: list[Budget], full: bool) -> str:
    lines = [
        "| task | simulations | measured | seconds | wanted | |",
        "| --- | ---: | --- | ---: | ---: | --- |",
    ]
    for budget in budgets:
        print(budget, file=sys.stderr, flush=True)
        rows = budget.runs if full else min(budget.sample, budget.runs)
        seconds = _seconds_of(budget, rows)
        total = seconds * budget.runs / rows
        measured = "all" if rows == budget.runs else f"{rows:,} in {seconds:.1f} s, extrapolated"
        reached = "reached" if total <= budget.seconds else "NOT reached"
        lines.append(
            f"| `{budget.task}` | {budget.runs:,} | {measured} | {total:.1f} | "
            f"{budget.seconds:g} | {reached} |"
        )
    return "\n".join(lines)


def _number(value: float) -> str:
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


if __name__ == "__main__":
    main()
