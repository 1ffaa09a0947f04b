"""What `certibayes sync` does when the model registry fails after the runs were replayed."""

import argparse
from types import SimpleNamespace

import pytest

from certibayes.address import TrackingError
from certibayes.commands import sync
from certibayes.io import FileFormatError
from certibayes.serving.publish import Outcome

STUDY = """
study: demo
models: {g: {estimator: {kind: gaussian}}}
experiments: [{task: gaussian_linear, budget: 1000, model: g}]
"""


@pytest.fixture
def synchronize(tmp_path, monkeypatch):
    """Return a function that registers as told and returns the exit code and how runs ended."""
    monkeypatch.setenv("CERTIBAYES_BASE", str(tmp_path))
    path = tmp_path / "config.yaml"
    path.write_text(STUDY)

    def call(publish, close):
        ended = []
        store = SimpleNamespace(close=lambda status: ended.append(status) or [])
        monkeypatch.setattr(sync, "connect", lambda *_: store)
        monkeypatch.setattr(sync, "prepare", lambda *_: None)
        monkeypatch.setattr(sync, "sync", lambda *_: 0)
        monkeypatch.setattr(sync, "publish", publish)
        return sync.main(
            argparse.Namespace(config=path, prepare=False, close=close, again=False)
        ), ended

    return call


@pytest.mark.parametrize("error", [TrackingError("away"), OSError("full"), FileFormatError("half")])
def test_a_failing_registry_leaves_no_run_open_and_says_what_to_do(synchronize, caplog, error):
    def fail(*_):
        raise error

    assert synchronize(fail, "FINISHED") == (0, ["FINISHED"])
    assert f"models were not registered ({error})" in caplog.text
    assert synchronize(fail, None) == (1, [])


def test_models_that_the_registry_refused_show_in_the_exit_code(synchronize, capsys):
    refused = Outcome(added=2, refused=1)
    assert synchronize(lambda *_: refused, None) == (1, [])
    assert "2 models registered" in capsys.readouterr().out
    assert synchronize(lambda *_: refused, "FINISHED") == (0, ["FINISHED"])
    assert synchronize(lambda *_: Outcome(added=3), None) == (0, [])
