import pytest
from pretended_registry import PretendedRegistry

from certibayes.address import TrackingError
from certibayes.registration import Registration

TAGS = {"package": "digest"}


@pytest.fixture
def registry(monkeypatch):
    registry = PretendedRegistry()
    monkeypatch.setattr("certibayes.registration.calls", registry.open)
    return registry


def test_a_model_that_another_process_makes_meanwhile_is_used(registry, tmp_path):
    registry.before["create_registered_model"] = lambda: registry.create_registered_model("m")
    registration = Registration(registry.session())
    assert registration.add("m", "digest", tmp_path, None, TAGS) == "1"
    assert list(registry.models["m"]["versions"]) == ["1"]


def test_of_a_package_that_two_processes_register_at_once_the_first_version_stays(
    registry, tmp_path
):
    registry.create_registered_model("m")
    registry.before["create_model_version"] = lambda: registry.create_model_version(
        "m", "elsewhere", "r", TAGS
    )
    registration = Registration(registry.session())
    assert registration.add("m", "digest", tmp_path, None, TAGS) == "1"
    assert list(registry.models["m"]["versions"]) == ["1"]


def test_a_store_that_refuses_a_new_model_says_why(registry, tmp_path):
    registry.refuse["create_registered_model"] = TrackingError("no space for models")
    with pytest.raises(TrackingError, match="no space for models"):
        Registration(registry.session()).add("m", "digest", tmp_path, None, TAGS)
