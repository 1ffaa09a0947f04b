"""Tracking servers that are killed, slow, silent or refuse: studies finish, `sync` replays once."""

import http.server
import os
import shutil
import signal
import socket
import sqlite3
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import yaml
from forked import in_child
from in_process import load_study
from single_jobs import STAGES, job_of, outputs_of, run_job, small_study
from tracked import layout_of, make_job, one_attempt, runs, synchronize
from tracking_server import Server

from certibayes.cli import main as certibayes
from certibayes.commands import sync as sync_command
from certibayes.config.tracking import Tracking
from certibayes.io import read_json
from certibayes.journal import SUFFIX, read

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
TRACKED = tuple(stage for stage in STAGES if stage != "simulate")


@pytest.fixture
def server(base, monkeypatch):
    """A server of the study's database; a busy machine may slow it down, which is no fault."""
    monkeypatch.setenv(TIMEOUT, "60")
    server = Server(base / "mlflow.db")
    server.start()
    yield server
    server.kill()


def query(base, text):
    with sqlite3.connect(base / "mlflow.db") as database:
        found = database.execute(text).fetchall()
    database.close()
    return found


def everything_is_there_once(base, layout, stage):
    """Compare the runs of a stage's attempts with their journals."""
    journals = [read(path) for path in layout.state.glob(f"*/*{SUFFIX}")]
    journals = [one for one in journals if one.header["tracked"]]
    assert journals
    for record in journals:
        attempt = record.header["attempt_id"]
        condition = f"key = 'attempt_id' and value = '{attempt}'"
        found = query(base, f"select run_uuid from tags where {condition}")
        assert len(found) == 1
        ((run_id,),) = found
        assert query(base, f"select status from runs where run_uuid = '{run_id}'") == [
            (record.status,)
        ]
        stored = query(base, f"select key, step, value from metrics where run_uuid = '{run_id}'")
        expected = [(point.name, point.step, point.value) for point in record.points]
        assert sorted(stored) == sorted(expected)
    doubled = "select key from metrics group by run_uuid, key, step having count(*) > 1"
    assert query(base, doubled) == []


def study_with(base, small_finished, uri):
    """Return a tracked copy of the finished study and its layout."""
    shutil.copytree(small_finished / "results", base / "results")
    study, layout = load_study(base, small_study({"mode": "on", "uri": uri}))
    shutil.rmtree(layout.state)
    return study, layout


def sync(base, *arguments):
    def run():
        os.chdir(base)
        nothing = SimpleNamespace(added=0, refused=())
        sync_command.publish = lambda *arguments: nothing
        return certibayes(["sync", "--config", "study.yaml", *arguments])

    return in_child(run)


@pytest.mark.parametrize("stage", TRACKED)
def test_a_server_killed_in_a_stage_costs_nothing(server, base, small_finished, stage):
    study, layout = study_with(base, small_finished, server.uri)
    assert sync(base, "--prepare")[0] == 0
    _, folder = job_of(study, layout, stage)
    for path in outputs_of(folder):
        path.unlink()

    def run():
        from certibayes.tracking import Store

        send = Store.send

        def killing(self, *arguments):
            send(self, *arguments)
            os.kill(server.process.pid, signal.SIGKILL)

        Store.send = killing
        return run_job(base, study, layout, stage)

    code, output = in_child(run)
    server.process.wait()
    assert code == 0, output
    assert "no tracking server reachable" in output
    assert "certibayes sync --config" in output
    assert (folder / "run.json").exists()
    code, output = sync(base)
    assert code == 1
    assert "Traceback" not in output
    server.start()
    for _ in range(2):
        code, output = sync(base)
        assert code == 0, output
        everything_is_there_once(base, layout, stage)


def test_a_server_that_answers_too_late_gets_everything_once(server, base, small_finished):
    study, layout = study_with(base, small_finished, server.uri)
    assert sync(base, "--prepare")[0] == 0
    server.slow(4)

    def run():
        os.environ[TIMEOUT] = "3"
        return run_job(base, study, layout, "train")

    code, output = in_child(run)
    assert code == 0, output
    assert "no tracking server reachable" in output
    server.pause.unlink()
    time.sleep(5)
    code, output = sync(base)
    assert code == 0, output
    everything_is_there_once(base, layout, "train")


@contextmanager
def refusing(status, body, headers):
    """A server that answers everything alike."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = answer  # noqa: N815

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def silent():
    """A server that takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def locked_database(base):
    """A database that another process does not let go of: only its error differs here."""
    path = base / "mlflow.db"
    content = path.read_bytes()
    path.write_bytes(b"no database" * 1000)
    yield f"sqlite:///{path}"
    path.write_bytes(content)


FAULTS = {
    "forbidden": lambda base: refusing(403, b"no entry", {}),
    "broken": lambda base: refusing(500, b"oops", {}),
    "busy": lambda base: refusing(503, b"", {"Retry-After": "3600"}),
    "throttled": lambda base: refusing(429, b"", {"Retry-After": "3600"}),
    "another page": lambda base: refusing(200, b"<html>log in</html>", {}),
    "silent": lambda base: silent(),
    "damaged database": locked_database,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_study_finishes_beside_a_store_that_refuses(base, monkeypatch, caplog, fault):
    started = time.monotonic()
    with FAULTS[fault](base) as uri:
        tracking = {"uri": uri}
        assert synchronize(base, monkeypatch, tracking, prepare=True) == 0
        _, content = one_attempt(base, job=make_job(Tracking(**tracking)))
        assert content["run_id"] is None
        assert synchronize(base, monkeypatch, tracking, close="FINISHED") == 0
        assert synchronize(base, monkeypatch, tracking) == 1
        assert time.monotonic() - started < 240
    messages = [r.getMessage() for r in caplog.records if "no tracking server" in r.getMessage()]
    assert messages
    assert all(r.exc_info is None for r in caplog.records)
    for _ in range(2):
        assert synchronize(base, monkeypatch, {}) == 0
        (child,), _ = runs(base)
        assert child.info.status == "FINISHED"


def test_in_strict_mode_a_refusal_is_one_line(base, small_finished):
    with FAULTS["forbidden"](base) as uri:
        _, layout = study_with(base, small_finished, uri)
        values = yaml.safe_load((base / "study.yaml").read_text())
        values["tracking"]["mode"] = "strict"
        (base / "study.yaml").write_text(yaml.safe_dump(values))
        code, output = sync(base, "--prepare")
    assert code == 1
    assert "tracking.mode is strict: " in output
    assert "403" in output
    assert "Traceback" not in output
    assert not read_json(layout.state / "tracking.json")["reachable"]


def test_a_store_that_was_lost_is_filled_again(base, monkeypatch, template):
    def run():
        one_attempt(base)
        return synchronize(base, monkeypatch, {})

    code, output = in_child(run)
    assert code == 0, output
    assert list(layout_of(base).state.glob("*/*.sent.json"))
    (base / "mlflow.db").unlink()
    shutil.copy(template, base / "mlflow.db")
    assert synchronize(base, monkeypatch, {}, prepare=True) == 0
    assert synchronize(base, monkeypatch, {}) == 0
    assert runs(base)[0] == []
    for _ in range(2):
        assert synchronize(base, monkeypatch, {}, again=True) == 0
        (child,), _ = runs(base)
        assert child.info.status == "FINISHED"
