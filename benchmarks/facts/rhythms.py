"""The published pair of the pyloric network, and which rhythms its prior gives."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch

from certibayes.config.simulators.recordings import PyloricSummary
from certibayes.seeding import generator
from certibayes.tasks.pyloric_rhythm import STATISTICS
from certibayes.tasks.pyloric_summary import defined
from facts import page

CHECK_PAIR = Path("tests/oracles/pyloric_check_pair.json")
ROWS = {"published": 400, "reduced": 800}


def check_pair(seeds: int) -> list[str]:
    """Simulate the published parameters again, with several seeds."""
    page.progress("pyloric pair")
    stored = json.loads(CHECK_PAIR.read_text(encoding="utf-8"))
    theta = torch.tensor([stored["theta"]], dtype=torch.float64).expand(seeds, -1)
    x = page.make(PyloricSummary()).simulate(theta, generator("simulator_facts", "pair"))
    lines = []
    for each, value, ours in zip(STATISTICS, stored["statistics"], x.T, strict=True):
        mean, spread = float(ours.mean()), float(ours.std())
        z = f"{(value - mean) / spread:.2f}" if spread > 1e-9 else "no spread"
        numbers = f"{value:.5g}", f"{mean:.5g}", f"{spread:.2g}"
        lines.append((f"`{each.name}`", each.unit, *numbers, z))
    header = ("statistic", "unit", "published", "mean", "standard deviation", "z")
    return [
        "## The published pair of the pyloric network",
        f"{stored['source']} Simulations of its theta here, with {seeds} seeds; z is the "
        "published value minus the mean, over the standard deviation. Undefined statistics among "
        f"them: {int((~defined(x)).sum())} of {x.numel()}.",
        page.table(header, lines),
    ]


def section(quick: bool) -> list[str]:
    """Measure which statistics of the rhythm are defined under the prior."""
    lines = [
        _row(spec, page.fewer(ROWS[spec.duration], quick))
        for spec in (PyloricSummary(), PyloricSummary(duration="reduced"))
    ]
    header = ("task", "draws", "failed", "all 18 defined", "none defined", "mean share defined")
    return ["### Rhythms under the prior", page.table(header, lines)]


def _row(spec: PyloricSummary, rows: int) -> tuple[str, ...]:
    label = page.label(spec)
    page.progress(f"rhythms of {label}")
    x = page.predictives(page.make(spec), rows, "rhythms", label)
    known = defined(x[x.isfinite().all(1)]).double()
    shares = (known.amin(1), 1 - known.amax(1), known.mean(1))
    found = [page.percent(float(s.mean()), float(s.std()) / math.sqrt(len(s))) for s in shares]
    return label, f"{rows:,}", f"{rows - len(known):,}", *found
