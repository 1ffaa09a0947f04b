"""The page about the overhead, from results that are made up."""

import json
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODEL = "digits/n10/bnn/none/seed0"
JOBS = {
    "digits/simulate/shard0/simulate": ("digits/simulate/shard0", 1.0, 3.0),
    "digits/simulate/reference/gather": ("digits/simulate/reference", 0.5, 2.5),
    f"{MODEL}/train": (f"{MODEL}/model", 10.0, 13.0),
    f"{MODEL}/attack/pgd": (f"{MODEL}/attack/pgd", 4.0, 7.0),
    f"{MODEL}/attack/noise": (f"{MODEL}/attack/noise", 2.0, 6.0),
    f"{MODEL}/certify/decision": (f"{MODEL}/certify/decision", 3.0, 6.0),
    f"{MODEL}/evaluate": (f"{MODEL}/evaluate", 2.0, 5.0),
    "report": (".", 1.5, 4.5),
}


@pytest.fixture
def overhead(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return import_module("overhead")


def write(folder):
    for name, (place, computing, process) in JOBS.items():
        log = folder / "logs" / "small" / f"{name}.benchmark.tsv"
        record = folder / "results" / "small" / place / "run.json"
        log.parent.mkdir(parents=True, exist_ok=True)
        record.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"s\th:m:s\tmax_rss\n{process}\t0:00:01\t1.0\n")
        record.write_text(json.dumps({"seconds": computing}))


def test_the_page_adds_up_what_jobs_state(overhead, tmp_path):
    write(tmp_path)
    jobs = overhead.finished_jobs(tmp_path)
    assert {(job.stage, job.computing, job.process) for job in jobs} == {
        (name.split("/")[-1] if "/attack/" not in name and "/certify/" not in name
         else name.split("/")[-2], computing, process)
        for name, (_, computing, process) in JOBS.items()
    }  # fmt: skip
    logged = import_module("parallel_logging").Logged(2, 100, 200, 0, 0, 3.0)
    page = overhead.page("small.yaml", 60.0, jobs, {"`import certibayes`": 0.1}, logged)
    assert "| study over the computing of its jobs | 2.50 | 1.35 |" in page
    assert "shortest job, a `gather`" in page
    assert "| `attack` | 2 | 6.0 | 13.0 | 3.5 | 22% |" in page
    assert "| workflow |  |  | 13.0 |  | 22% |" in page
    assert "200 found, 0 doubled, 0 missing | 3 s | 120 s |" in page
