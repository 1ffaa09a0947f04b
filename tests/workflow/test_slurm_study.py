"""The smallest study through Slurm, under the profile that is handed out."""

import pandas as pd
import pytest
import yaml
from in_process import run_study
from on_slurm import submissions, write_profile

from certibayes.io import sha256_of
from conftest import ROOT, Project

pytestmark = pytest.mark.slurm

ROWS = ["model", "defense", "seed", "stage", "method", "epsilon"]


@pytest.fixture(scope="module")
def submitted(slurm, tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("submitted"))
    project.study = yaml.safe_load((ROOT / "studies" / "tiny.yaml").read_text())
    project.study["tracking"] = {"mode": "off"}
    project.write()
    rule = project.folder / "rules" / "train.smk"
    command = '"exec certibayes train'
    assert command in rule.read_text()
    rule.write_text(rule.read_text().replace(command, '"env > train.env; exec certibayes train'))
    profile = write_profile(project, gpu=1)
    code, output = project.call("certibayes", "run", "--profile", profile)
    assert code == 0, output
    return project


def arrays_of(results):
    paths = [path for path in results.rglob("*.np[yz]") if "simulate" in path.parts]
    return {str(path.relative_to(results)): sha256_of(path) for path in paths}


def test_results_are_the_same_as_locally(submitted, tmp_path):
    run_study(tmp_path, submitted.study)
    here, there = tmp_path / "results" / "tiny", submitted.folder / "results" / "tiny"
    assert len(arrays_of(here)) >= 4
    assert arrays_of(there) == arrays_of(here)
    expected = pd.read_csv(here / "summary.csv").set_index(ROWS)["nll"].dropna()
    found = pd.read_csv(there / "summary.csv").set_index(ROWS)["nll"].dropna()
    assert len(expected) >= 2
    pd.testing.assert_series_equal(found, expected, rtol=0, atol=1e-3)
    assert (there / "workflow.html").stat().st_size > 1e6
    assert (there / "report.html").stat().st_size > 5e4


def test_short_jobs_share_a_submission(submitted):
    jobs = submissions(submitted)
    assert {job.state for job in jobs.values()} == {"COMPLETED"}
    assert len(jobs) == 7


def test_a_job_that_asks_for_a_gpu_gets_it_and_no_other_one_does(submitted):
    environment = (submitted.folder / "train.env").read_text().splitlines()
    (number,) = [line.partition("=")[2] for line in environment if line.startswith("SLURM_JOB_ID=")]
    assert "rule_train" in submissions(submitted)[number].comment
    assert "CUDA_VISIBLE_DEVICES=0" in environment
