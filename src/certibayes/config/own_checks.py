"""Whether the files that a study's own tasks name exist and fit the study."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from certibayes.config.errors import ConfigError, violation
from certibayes.config.simulators.own import OwnPairs, OwnSimulator
from certibayes.config.simulators.own_files import observed_file, pairs_shape, table_of
from certibayes.config.task_spec import TaskSpec


def own_findings(name: str, spec: TaskSpec) -> Iterator[str]:
    """Yield one line per finding about a task's own file or folder, each with its key."""
    if isinstance(spec, OwnSimulator):
        yield from _simulator(f"tasks.{name}", spec)
    elif isinstance(spec, OwnPairs):
        yield from _pairs(f"tasks.{name}", spec)


def _simulator(key: str, spec: OwnSimulator) -> Iterator[str]:
    for position, read in enumerate(spec.reads):
        if not Path(read).is_file():
            yield violation(f"{key}.reads.{position}", read, f"an existing file; {_missing(read)}")
    if not Path(spec.file).is_file():
        yield violation(
            f"{key}.file", spec.file, f"an existing file of Python code; {_missing(spec.file)}"
        )
        return
    try:
        ast.parse(Path(spec.file).read_bytes(), filename=spec.file)
    except SyntaxError as error:
        allowed = f"a file of Python code; line {error.lineno}: {error.msg}"
        yield violation(f"{key}.file", spec.file, allowed)
    except ValueError as error:
        yield violation(f"{key}.file", spec.file, f"a file of Python code; {error}")


def _pairs(key: str, spec: OwnPairs) -> Iterator[str]:
    try:
        shape = pairs_shape(spec.folder)
    except ConfigError as error:
        yield f"{key}.{error}"
        return
    if spec.test_pairs >= shape.rows:
        allowed = f"1 to {shape.rows - 1}, fewer than the pairs in {spec.folder}"
        yield violation(f"{key}.test_pairs", spec.test_pairs, allowed)
    for side in ("lower", "upper"):
        bounds = getattr(spec, side)
        if bounds is not None and len(bounds) != shape.theta_dim:
            allowed = f"{shape.theta_dim} numbers, one per parameter"
            yield violation(f"{key}.{side}", list(bounds), allowed)
    observed = observed_file(spec.folder)
    if observed is not None:
        yield from _observed(f"{key}.folder", observed, shape.x_dim)


def _observed(key: str, path: Path, x_dim: int) -> Iterator[str]:
    try:
        table = table_of(path)
    except ConfigError as error:
        yield f"{key.removesuffix('.folder')}.{error}"
        return
    if table.columns != x_dim and (table.rows, table.columns) != (x_dim, 1):
        got = f"shape ({table.rows}, {table.columns})"
        yield f"{key}: {path}: got {got}; allowed: (m, {x_dim}) or ({x_dim},), as x"


def _missing(path: str) -> str:
    resolved = Path(path).resolve()
    return f"there is no {resolved} (relative to the folder in which the study runs)"
