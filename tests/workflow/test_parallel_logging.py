"""Many jobs log at once into one sqlite file: every point is there, none twice."""

import shutil
from importlib import import_module
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
@pytest.mark.parametrize(("jobs", "points"), [(3, 200), (16, 10_000)])
def test_no_point_is_lost_or_doubled(jobs, points, tmp_path, template, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setenv("CERTIBAYES_BASE", str(tmp_path))
    shutil.copy(template, tmp_path / "mlflow.db")
    logged = import_module("parallel_logging").log_in_parallel(tmp_path, jobs, points)
    assert (logged.found, logged.doubled, logged.missing) == (jobs * points, 0, 0)
