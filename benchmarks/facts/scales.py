"""The unit within_std of every task, beside published values."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from certibayes.config.simulators.gloeckler2023 import HodgkinHuxley
from certibayes.config.simulators.gloeckler2023 import SpatialSIR as SpatialSIRSpec
from certibayes.config.simulators.recordings import PyloricSummary, PyloricTraces
from certibayes.config.task_spec import TaskSpec
from certibayes.config.tasks import BUILT_IN
from certibayes.tasks.base import Restorable
from certibayes.tasks.spatial_sir import SIDE, STEPS, SpatialSIR
from facts import page

ROWS = {
    **{"spatial_sir": 20_000, "hodgkin_huxley": 20_000, "hodgkin_huxley_allen": 4_000},
    **{"pyloric_traces": 1_500, "pyloric_summary": 200, "vae": 10_000},
}
OTHER_ROWS = 100_000
VARIANTS: tuple[TaskSpec, ...] = (
    SpatialSIRSpec(shared_fields=True),
    HodgkinHuxley(capacitance="multiplies"),
    PyloricTraces(published_selection=True),
    PyloricSummary(duration="reduced"),
)
MIXED_UNITS = ("hodgkin_huxley_allen", "pyloric_summary")
FIELD_SEEDS, FIELD_ROWS = 12, 2_000
GROUPS = 20
FEWEST = 10


class Published(NamedTuple):
    """What simulations of the published code give, as reported.

    Attributes:
        within_std: mean over x of the standard deviation over the entries of one x.
        distance: median distance to the mean x.
    """

    within_std: str
    distance: str


PUBLISHED = {
    "gaussian_linear": Published("1.0627", "3.29"),
    "lotka_volterra": Published("0.192", "1.99"),
    "vae": Published("0.248", "5.34"),
    "hodgkin_huxley": Published("18.4", "275"),
    "sir": Published("0.270", "2.42"),
    "spatial_sir": Published("0.227", "6.04"),
}


def specs(tasks: Sequence[str]) -> Iterator[TaskSpec]:
    """Yield every task by default, then its variants."""
    for name in tasks:
        yield BUILT_IN[name]()
        yield from (spec for spec in VARIANTS if page.kind(spec) == name)


def within(x: Tensor) -> tuple[float, float]:
    """Return within_std of x, shape (n, d), and its standard error."""
    each = x.std(1)
    return float(each.mean()), float(each.std()) / math.sqrt(len(x))


def distance(x: Tensor) -> tuple[float, float]:
    """Return the median distance of x, shape (n, d), to its mean, and its standard error.

    The error is that of a mean over twenty groups, each with a mean x of its own.
    """
    medians = [_median_distance(part) for part in x.chunk(GROUPS)]
    return _median_distance(x), float(np.std(medians, ddof=1)) / math.sqrt(len(medians))


def _median_distance(x: Tensor) -> float:
    return float((x - x.mean(0)).norm(dim=1).quantile(0.5))


def section(options: argparse.Namespace) -> list[str]:
    """Measure within_std of every task and variant."""
    header = ("task", "draws", "failed", "within_std", "published", "distance", "published")
    rows = [_row(spec, options) for spec in specs(options.tasks)]
    return [
        "## The unit `within_std`",
        "The mean over x of the standard deviation over the entries of one x, in raw units, and "
        "the median l2 distance to the mean x where a value is published. Published: Gloeckler, "
        "Deistler and Macke (2023), `within_std` of `gaussian_linear` as their logs print it, the "
        "rest as reported from simulations of their code; of how many is not stated. Failed rows "
        "are left out; with `published_selection` they are the networks that were not selected. "
        "An asterisk: entries in different units, so that the number has no meaning of its own.",
        page.table(header, rows),
    ]


def _row(spec: TaskSpec, options: argparse.Namespace) -> tuple[str, ...]:
    name, label = page.kind(spec), page.label(spec)
    page.progress(label)
    published = PUBLISHED.get(name, Published("", ""))
    task = page.make(spec, options.decoder)
    if isinstance(task, Restorable) and options.decoder is None:
        missing = "not measured: no `--decoder`; see [data.md](data.md)"
        return label, "", "", missing, published.within_std, "", published.distance
    n = page.fewer(ROWS.get(name, OTHER_ROWS), options.quick)
    x = page.predictives(task, n, label)
    x = x[x.isfinite().all(1)]
    spread, far = "too few", ""
    if len(x) >= FEWEST:
        spread = page.with_error(*within(x)) + (" *" if name in MIXED_UNITS else "")
    if len(x) >= 2 * GROUPS and published.distance:
        far = page.with_error(*distance(x))
    counts = f"{n:,}", f"{n - len(x):,}"
    return label, *counts, spread, published.within_std, far, published.distance


def shared_fields(quick: bool) -> list[str]:
    """Measure how the published numbers of spatial_sir vary with the fields they share."""
    page.progress("shared fields")
    rows = page.fewer(FIELD_ROWS, quick)
    task = SpatialSIR(SpatialSIRSpec(shared_fields=True))
    found = []
    for seed in range(FIELD_SEEDS):
        own = torch.Generator().manual_seed(1 + seed)
        task.fields = torch.rand(STEPS, SIDE, SIDE, generator=own, dtype=torch.float64)
        x = page.predictives(task, rows, "fields", seed)
        found.append((within(x)[0], distance(x)[0]))
    names = ("`within_std`", "median distance to the mean x")
    columns = zip(names, np.array(found).T, PUBLISHED["spatial_sir"], strict=True)
    lines = [(name, *_spread(values), published) for name, values, published in columns]
    header = ("of `spatial_sir`", "lowest", "highest", "mean", "standard deviation", "published")
    return [
        "### `spatial_sir`: which random fields are shared",
        f"Other shared fields than the task's, from {FIELD_SEEDS} seeds, {rows:,} simulations "
        "each.",
        page.table(header, lines),
    ]


def _spread(values: np.ndarray) -> list[str]:
    numbers = (values.min(), values.max(), values.mean(), values.std(ddof=1))
    return [f"{number:.4f}" for number in numbers]
