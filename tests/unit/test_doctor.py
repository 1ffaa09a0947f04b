"""Every check of `certibayes doctor`, with its problem made on purpose."""

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from certibayes.config.tracking import Tracking
from certibayes.diagnosis import machine, store
from certibayes.diagnosis.data import data_folder
from certibayes.diagnosis.finding import Finding
from certibayes.diagnosis.leftovers import stale_locks, unsent_journals
from certibayes.diagnosis.slurm import UNCONFIGURED, slurm
from certibayes.diagnosis.versions import packages, python_version
from certibayes.journal import Journal
from certibayes.layout import Layout
from certibayes.locking import StudyLock
from certibayes.process import identity


def test_a_problem_says_what_to_do_on_a_line_of_its_own():
    assert str(Finding("disk", "5 MB free")) == "ok       disk             5 MB free"
    lines = str(Finding("disk", "5 MB free", "make room")).splitlines()
    assert lines == ["PROBLEM  disk             5 MB free", "         -> make room"]


def test_an_old_python_is_a_problem():
    assert python_version().advice is None
    assert "Python >= 3.11 is needed" in python_version((3, 10)).advice


def test_missing_and_unsuitable_packages_are_problems():
    asked = ["numpy>=1", "numpy<1", "no-such-package-here>=2", "sbi; extra == 'audit'"]
    good, old, missing = packages(asked)
    assert good.advice is None
    assert "allowed: <1" in old.text
    assert "pip install 'numpy<1'" in old.advice
    assert (missing.text, missing.name) == ("not installed", "no-such-package-here")
    assert "torch" in [one.name for one in packages()]


@pytest.mark.parametrize(("named", "good"), [("cpu", True), ("cuda", False), ("tpu", False)])
def test_a_device_that_is_not_there_is_a_problem(named, good, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    found = machine.torch_device(named)
    assert (found.advice is None) == good
    assert named in found.text


def test_a_full_disk_is_a_problem(tmp_path, monkeypatch):
    assert "MB free in" in machine.disk_space(tmp_path).text
    monkeypatch.setattr(machine, "free_megabytes", lambda path: 12.0)
    found = machine.disk_space(tmp_path)
    assert (found.text, found.advice) == (
        f"12 MB free in {tmp_path}",
        "make room: at least 1000 MB",
    )


def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path, monkeypatch):
    assert machine.writable(tmp_path / "results" / "tiny").advice is None
    (tmp_path / "results").write_text("no folder")
    assert f"{tmp_path}/results cannot be written" in machine.writable(tmp_path / "results").text
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert machine.writable(tmp_path / "new").advice.startswith("let user ")


def test_locks_that_exclude_nobody_are_a_problem(tmp_path, monkeypatch):
    assert machine.file_locks(tmp_path) == Finding("file locks", "work")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("certibayes.flock._take", lambda *arguments: None)
    assert "do not work" in machine.file_locks(tmp_path).text


def database(path, schema):
    with sqlite3.connect(path) as made:
        made.execute("create table alembic_version (version_num)")
        made.execute(f"insert into alembic_version values ('{schema}')")
    made.close()


def test_the_state_of_a_database(tmp_path):
    path = tmp_path / "mlflow.db"
    newest = store._schemas()[1]
    assert newest
    assert store.tracking_store(Tracking(mode="off"), tmp_path) == Finding("tracking", "off")
    assert store.tracking_store(Tracking(), tmp_path).text == f"{path} will be made"
    database(path, newest)
    found = store.tracking_store(Tracking(), tmp_path)
    assert found == Finding("tracking", f"{path}: schema {newest}, check ok")
    path.unlink()
    older = min(store._schemas()[0] - {newest})
    database(path, older)
    found = store.tracking_store(Tracking(), tmp_path)
    assert found.advice is None
    assert f"brought to {newest} when a study starts" in found.text
    path.unlink()
    database(path, "of_the_future")
    found = store.tracking_store(Tracking(), tmp_path)
    assert "is of another MLflow" in found.text
    assert "make env" in found.advice
    path.write_bytes(b"garbage" * 100)
    found = store.tracking_store(Tracking(), tmp_path)
    assert f"{path} is broken: " in found.text
    assert "certibayes sync --again" in found.advice


def test_a_locked_database_is_a_problem(tmp_path):
    path = tmp_path / "mlflow.db"
    database(path, "x")
    holder = sqlite3.connect(path)
    holder.execute("begin exclusive")
    found = store.tracking_store(Tracking(), tmp_path)
    holder.close()
    assert "locked" in found.text
    assert "wait for it, or stop it" in found.advice


def test_journals_that_were_not_sent_are_a_problem(tmp_path):
    layout, config = Layout(tmp_path), tmp_path / "study.yaml"
    assert unsent_journals(layout, config).advice is None

    def journal(name, process, status):
        made = Journal(layout.state / "key" / f"{name}.jsonl")
        made.header({"tracked": True, "started": 1, "tags": process})
        if status:
            made.status(status)
        made.close()

    journal("living", identity(), None)
    assert unsent_journals(layout, config).text == "all sent, 1 of living jobs"
    journal("ended", identity(), "FINISHED")
    journal("killed", {**identity(), "pid": "1", "pid_start": "never"}, None)
    found = unsent_journals(layout, config)
    assert found.text == "2 attempts are not in the tracking store"
    assert found.advice == f"certibayes sync --config {config}"
    (layout.state / "key" / "damaged.jsonl").write_text("{}x\n")
    found = unsent_journals(layout, config)
    assert "damaged.jsonl: line 1 is no entry of a journal" in found.text


def test_stale_locks_are_a_problem_unless_a_workflow_runs(tmp_path):
    folder, config = Path("results/tiny"), tmp_path / "study.yaml"
    assert stale_locks(tmp_path, folder, config).text == "free"
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text("results/tiny/summary.csv\n")
    assert stale_locks(tmp_path, folder, config).advice == f"certibayes unlock --config {config}"
    with StudyLock(tmp_path / folder):
        assert stale_locks(tmp_path, folder, config).text == "a workflow runs this study"


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Return a function that makes commands of Slurm, by name and shell text, and the profile."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")

    def make(profile=None, **texts):
        for name, text in texts.items():
            path = folder / name
            path.write_text(f"#!/bin/sh\n{text}\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        if profile is not None:
            (tmp_path / "profiles" / "slurm").mkdir(parents=True)
            (tmp_path / "profiles" / "slurm" / "config.yaml").write_text(profile)
        return slurm(tmp_path)

    return make


OFF = "echo 'AccountingStorageType   = accounting_storage/none'; echo 'MinJobAge = {} sec'"
ON = "echo 'AccountingStorageType   = accounting_storage/slurmdbd'; echo 'MinJobAge = 300 sec'"
SQUEUE = "slurm-status-command: squeue\nslurm-init-seconds-before-status-checks: 20\n"


@pytest.mark.parametrize(
    ("made", "text", "advice"),
    [
        ({"squeue": "exit 1", "sbatch": ""}, "squeue fails", "slurmctld, munge"),
        (
            {"sbatch": "", "squeue": "", "scontrol": "echo no >&2; exit 1"},
            "scontrol fails: no",
            "install Slurm's client commands",
        ),
        (
            {"sbatch": "", "squeue": "", "scontrol": OFF.format(300), "profile": "jobs: 8"},
            "is sacct, but accounting is off: Snakemake would never learn that a job ended",
            "slurm-status-command: squeue in profiles/slurm/config.yaml",
        ),
        (
            {"sbatch": "", "squeue": "", "scontrol": OFF.format(30), "profile": SQUEUE},
            "forgets ended jobs after MinJobAge = 30 s, the first look is after 20 s",
            "MinJobAge=60 in slurm.conf, or slurm-init-seconds-before-status-checks: 10 in",
        ),
        (
            {"sbatch": "", "squeue": "", "scontrol": OFF.format(60), "profile": SQUEUE},
            "slurm-status-command: squeue works",
            None,
        ),
        (
            {"sbatch": "", "squeue": "", "scontrol": ON, "profile": "jobs: 8"},
            "slurm-status-command: sacct, accounting by accounting_storage/slurmdbd",
            None,
        ),
    ],
)
def test_what_slurm_says_is_judged_with_the_profile(commands, made, text, advice):
    found = commands(**made)
    assert text in found.text
    assert found.advice is None if advice is None else advice in found.advice


def test_clients_without_a_cluster_are_no_problem(commands):
    found = commands(sbatch="", squeue=f"echo 'squeue: fatal: {UNCONFIGURED}' >&2; exit 1")
    assert not found.advice
    assert "no cluster" in found.text


def test_without_slurm_nothing_is_wrong_and_without_squeue_something_is(commands, monkeypatch):
    which = {"sbatch": None, "squeue": None}
    monkeypatch.setattr("shutil.which", which.get)
    assert commands() == Finding("slurm", "not here")
    which["sbatch"] = "/bin/sbatch"
    assert commands().text == "sbatch without squeue"


def test_a_data_root_that_is_no_folder_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.delenv("CERTIBAYES_DATA", raising=False)
    assert data_folder(None).advice is None
    assert data_folder(str(tmp_path)) == Finding("data root", f"{tmp_path} (data_root)")
    assert "data_root: 'nope' is no folder" in data_folder("nope").text
    monkeypatch.setenv("CERTIBAYES_DATA", str(tmp_path / "gone"))
    found = data_folder(str(tmp_path))
    assert "CERTIBAYES_DATA: " in found.text
    assert "in CERTIBAYES_DATA" in found.advice
    monkeypatch.setenv("CERTIBAYES_DATA", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "cannot be read" in data_folder(None).text


def test_a_lock_file_that_cannot_be_made_is_a_problem(tmp_path):
    (tmp_path / "file").write_text("")
    found = machine.file_locks(tmp_path / "file")
    assert "cannot be written" in found.text
