import os
import subprocess
import sys

import pytest
from in_process import load_study

from certibayes.commands.stage import parse_job
from certibayes.config.jobs import report_job
from certibayes.io import FileFormatError
from certibayes.locking import StudyLock
from certibayes.workflow.plan import Plan
from conftest import STUDY


def typo(study):
    study["attacks"]["pgd"]["restart"] = 3


def negative_epsilon(study):
    study["attacks"]["pgd"]["perturbation"]["epsilons"] = [-0.1]


def unknown_task(study):
    study["experiments"][0]["task"] = "gaussian_liner"


def misfit(study):
    study["attacks"]["pgd"]["objective"] = "expected_loss"


MESSAGES = {
    typo: "attacks.pgd.restart: got 'restart'",
    negative_epsilon: "attacks.pgd.perturbation.epsilons.0: got -0.1",
    unknown_task: "experiments.0.task: got 'gaussian_liner'",
    misfit: "experiments.0.attacks: got 'pgd' with objective 'expected_loss'",
}


@pytest.mark.parametrize("change", MESSAGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("module", ["snakemake", "certibayes"])
def test_a_study_that_may_not_run_runs_nothing(project, change, module):
    change(project.study)
    project.write()
    arguments = ("--cores", "1") if module == "snakemake" else ("run", "--cores", "1")
    code, output = project.call(module, *arguments)
    assert code != 0
    assert f"config.yaml: {MESSAGES[change]}" in output
    assert "allowed" in output
    assert "Traceback" not in output
    assert not (project.folder / "results").exists()
    assert not (project.folder / "mlflow.db").exists()


@pytest.mark.parametrize("module", ["snakemake", "certibayes"])
def test_a_study_that_runs_already_is_refused_by_name(project, module):
    with StudyLock(project.folder / "results" / "tiny"):
        arguments = ("--cores", "1") if module == "snakemake" else ("run", "--cores", "1")
        code, output = project.call(module, *arguments)
    assert code != 0
    assert f"another workflow runs this study: pid {os.getpid()}, host " in output
    assert [path.name for path in project.results()] == [".lock"]


def test_unlock_refuses_while_a_workflow_runs(project):
    with StudyLock(project.folder / "results" / "tiny"):
        assert project.call("certibayes", "unlock")[0] == 1
    assert project.call("certibayes", "unlock")[0] == 0


def test_values_on_the_command_line_are_refused(project):
    code, output = project.snakemake("--dry-run", "--config", "seed=3")
    assert code != 0
    assert "--config: got seed; allowed: nothing, a study is its file" in output


def test_what_the_snakefile_imports_needs_neither_torch_nor_mlflow():
    code = (
        "import sys; import certibayes.workflow.start, certibayes.workflow.hooks; "
        "print(sorted({'torch', 'mlflow', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_the_report_finds_its_job_in_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study, _ = load_study(tmp_path, STUDY)
    plan = Plan(study)
    (tmp_path / "job.json").write_text(plan.report_text())
    job = parse_job("report", "@job.json", study.tracking.model_dump_json())
    tracking = {"models": {"__all__": {"tracking"}}}
    assert job.model_dump(exclude=tracking) == report_job(study).model_dump(exclude=tracking)
    (tmp_path / "job.json").write_text("{")
    with pytest.raises(FileFormatError, match=r"job\.json: not a JSON file"):
        parse_job("report", "@job.json", study.tracking.model_dump_json())
