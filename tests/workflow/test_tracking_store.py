import argparse
import shutil
import sqlite3
import subprocess
import sys

import pytest
from tracked import STUDY, layout_of, runs, script, write_config

from certibayes.address import Session, database_file, store_uri
from certibayes.commands import doctor
from certibayes.config.tracking import Tracking
from certibayes.diagnosis.finding import Finding
from certibayes.preparation import connect, prepare
from certibayes.tracking import calls


@pytest.mark.parametrize("processes", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_processes_that_prepare_two_studies_at_once_on_a_missing_database(tmp_path, processes):
    code = (
        "import sys; from pathlib import Path; from certibayes.config.tracking import Tracking\n"
        "from certibayes.layout import Layout; from certibayes.preparation import prepare\n"
        "root = Path(sys.argv[1]) / 'results' / sys.argv[2]\n"
        "prepare(Tracking(mode='strict'), sys.argv[2], Layout(root))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    started = [
        subprocess.Popen([*command, f"study{i % 2}"], stderr=subprocess.PIPE, text=True)
        for i in range(processes)
    ]
    messages = [process.communicate(timeout=240)[1] for process in started]
    assert [process.returncode for process in started] == [0] * processes, messages
    assert messages == [""] * processes
    with calls(f"sqlite:///{tmp_path / 'mlflow.db'}") as client:
        for study in ("study0", "study1"):
            experiment = client.get_experiment_by_name(study)
            assert experiment.artifact_location == (tmp_path / "mlartifacts" / study).as_uri()
            (parent,) = client.search_runs([experiment.experiment_id])
            assert parent.info.status == "RUNNING"
            executions = [tag for tag in parent.data.tags if tag.startswith("execution.")]
            assert len(executions) == processes // 2
    assert [p.name for p in tmp_path.glob(".mlflow.partial*")] == []


def test_preparing_again_finds_the_same_parent_and_sets_it_running(base):
    first = prepare(Tracking(), STUDY, layout_of(base))
    connect(Tracking(), STUDY, layout_of(base)).close("FINISHED")
    assert runs(base)[1][0].info.status == "FINISHED"
    assert prepare(Tracking(), STUDY, layout_of(base)) == first
    assert runs(base)[1][0].info.status == "RUNNING"
    assert first == Session.read(layout_of(base))


def test_a_database_of_an_older_schema_is_migrated(base):
    with sqlite3.connect(base / "mlflow.db") as database:
        (head,) = database.execute("select version_num from alembic_version").fetchone()
    database.close()
    older = base / "older.db"
    code = (
        "import sys; from alembic import command\n"
        "from mlflow.store.db.utils import _get_alembic_config\n"
        "command.downgrade(_get_alembic_config(f'sqlite:///{sys.argv[1]}'), '-1')"
    )
    shutil.copy(base / "mlflow.db", older)
    stepped_back = script(code, older)
    if stepped_back.returncode != 0:
        pytest.skip("the newest migration of this MLflow has no way back")
    older.replace(base / "mlflow.db")
    assert prepare(Tracking(mode="strict"), STUDY, layout_of(base)).reachable
    with sqlite3.connect(base / "mlflow.db") as database:
        assert database.execute("select version_num from alembic_version").fetchone() == (head,)
    database.close()


def test_addresses_are_absolute(base):
    assert store_uri(Tracking(), base) == f"sqlite:///{base}/mlflow.db"
    assert store_uri(Tracking(uri="sqlite:///sub/a.db"), base) == f"sqlite:///{base}/sub/a.db"
    assert store_uri(Tracking(uri="sqlite:////abs/a.db"), base) == "sqlite:////abs/a.db"
    assert store_uri(Tracking(uri="http://host:5000"), base) == "http://host:5000"
    assert str(database_file("sqlite:////abs/a.db")) == "/abs/a.db"


def test_doctor_finds_a_broken_database(base, monkeypatch, capsys):
    monkeypatch.setenv("CERTIBAYES_BASE", str(base))
    monkeypatch.setattr(doctor, "slurm", lambda folder: Finding("slurm", "not here"))
    arguments = argparse.Namespace(config=write_config(base, {}))
    assert doctor.main(arguments) == 0
    printed = capsys.readouterr().out
    for part in ("mlflow", "schema", "check ok", "file locks       work", "MB free"):
        assert part in printed
    (base / "mlflow.db").write_bytes(b"garbage" * 100)
    assert doctor.main(arguments) == 1
    printed = capsys.readouterr().out
    assert "PROBLEM  tracking" in printed
    assert "-> move it away; `certibayes sync --again` fills a new one" in printed
