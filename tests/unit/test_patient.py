"""Uploads may take longer than a question to the store, unless the environment says otherwise."""

import os

from certibayes.tracking import REQUEST_TIMEOUT, patient


def test_a_file_may_take_longer_than_a_question(monkeypatch):
    monkeypatch.setenv(REQUEST_TIMEOUT, "3")
    with patient():
        assert int(os.environ[REQUEST_TIMEOUT]) > 60
    assert os.environ[REQUEST_TIMEOUT] == "3"


def test_a_time_that_the_user_stated_stays(monkeypatch):
    monkeypatch.setenv(REQUEST_TIMEOUT, "7")
    with patient():
        assert os.environ[REQUEST_TIMEOUT] == "7"
