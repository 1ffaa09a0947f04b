"""How the page writes numbers, tables and tasks, and how it draws."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from certibayes import registry
from certibayes.config.task_spec import TaskSpec
from certibayes.seeding import generator
from certibayes.tasks.base import PosteriorTask, Restorable

QUICK = 50


def progress(text: str) -> None:
    """Tell what is measured next, on standard error."""
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def make(spec: TaskSpec, decoder: Path | None = None) -> PosteriorTask:
    """Return the task of a specification, with its decoder if it needs one."""
    task = registry.load("task", kind(spec))(spec)
    if isinstance(task, Restorable) and decoder is not None:
        task.restore(decoder)
    return task


def predictives(task: PosteriorTask, rows: int, *seed: object) -> Tensor:
    """Draw theta and simulate in calls as long as the workflow's, shape (rows, x_dim)."""
    draw = generator("simulator_facts", *seed)
    theta = task.sample_prior(rows, draw)
    return torch.cat([task.simulate(part, draw) for part in theta.split(task.rows_per_call)])


def kind(spec: TaskSpec) -> str:
    """Return the name by which a study asks for the task."""
    return str(type(spec).model_fields["kind"].default)


def label(spec: TaskSpec) -> str:
    """Return the task and the options that differ from their defaults, in Markdown."""
    changed = spec.model_dump(exclude_defaults=True, exclude={"failures"})
    return ", ".join(
        [f"`{kind(spec)}`", *(f"`{key}: {json.dumps(changed[key])}`" for key in changed)]
    )


def with_error(value: float, error: float) -> str:
    """Write a value and its standard error with two digits of the latter."""
    digits = max(0, 1 - math.floor(math.log10(error))) if error > 0 else 3
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def table(header: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [tuple(header), *rows]
    lines.insert(1, ("---",) * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(share: float, error: float) -> str:
    """Write a share and its standard error in percent."""
    return f"{100 * share:.1f} ± {100 * error:.1f} %"


def fewer(rows: int, quick: bool) -> int:
    """Return the number of draws, or about a fiftieth of it for a quick run."""
    return max(5, rows // QUICK) if quick else rows
