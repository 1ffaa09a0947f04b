import argparse
import socket

import pytest
from tracked import STUDY, history_of, layout_of, make_job, one_attempt, runs, synchronize

from certibayes.address import TrackingError
from certibayes.attempt import attempt
from certibayes.commands import trace
from certibayes.config.tracking import Tracking
from certibayes.preparation import prepare


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_without_a_server_the_job_finishes_says_so_and_is_replayed_later(
    base, monkeypatch, caplog, capsys
):
    offline = Tracking(uri=f"http://127.0.0.1:{closed_port()}")
    assert synchronize(base, monkeypatch, offline.model_dump(), prepare=True) == 0
    _, content = one_attempt(base, job=make_job(offline))
    assert content["run_id"] is None
    (message,) = {r.message for r in caplog.records if "no tracking server" in r.message}
    assert str(layout_of(base).state) in message
    assert "certibayes sync --config" in message
    assert len([r for r in caplog.records if "no tracking server" in r.message]) == 1
    assert synchronize(base, monkeypatch, offline.model_dump(), close="FINISHED") == 0
    assert synchronize(base, monkeypatch, offline.model_dump()) == 1

    assert synchronize(base, monkeypatch, {}) == 0
    (child,), (parent,) = runs(base)
    assert child.info.status == "FINISHED"
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.params["task"] == "digits"
    assert history_of(base, child.info.run_id, "train/loss") == [(1, 0.5)]
    assert synchronize(base, monkeypatch, {}) == 0
    for marker in layout_of(base).state.glob("*/*.sent.json"):
        marker.unlink()
    assert synchronize(base, monkeypatch, {}) == 0
    assert len(runs(base)[0]) == 1
    assert history_of(base, child.info.run_id, "train/loss") == [(1, 0.5)]
    capsys.readouterr()
    assert trace.main(argparse.Namespace(file=layout_of(base).reference(make_job()))) == 0
    assert child.info.run_id in capsys.readouterr().out


def test_strict_mode_makes_an_unreachable_server_an_error(base, monkeypatch):
    strict = Tracking(mode="strict", uri=f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(TrackingError, match="no tracking server"):
        prepare(strict, STUDY, layout_of(base))
    with pytest.raises(TrackingError, match="no tracking server"):
        one_attempt(base, job=make_job(strict))
    assert synchronize(base, monkeypatch, strict.model_dump(), prepare=True) == 1


def test_a_store_that_fails_in_mid_run_costs_nothing_and_the_run_is_completed(base, monkeypatch):
    from certibayes.tracking import Store

    layout, job = layout_of(base), make_job()
    send, failures = Store.send, [TrackingError("gone"), None, TrackingError("gone")]

    def failing(self, run_id, points, params=None):
        send(self, run_id, points, params)
        if failures and (error := failures.pop()):
            raise error

    monkeypatch.setattr(Store, "send", failing)
    with attempt("simulate", job, "c", layout, inputs=[], outputs=layout.reference(job)) as run:
        for step in range(10):
            run.metrics({"train/loss": float(step)}, step)
            run.reporter.flush()
    (child,), _ = runs(base)
    assert child.info.status == "FINISHED"
    history = history_of(base, child.info.run_id, "train/loss")
    assert history == [(step, float(step)) for step in range(10)]
